"""What the synthetic shop sells, to whom it sells and how: made-up models, numbered customers."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """One thing on the shelf; the price is in hundredths of the shop's currency."""

    id: str
    title: str
    category: str
    price: int
    weight_g: int | None
    #: Length, height, width.
    size_cm: tuple[int, int, int] | None


def _phone(sku: str, title: str, price: int, weight_g: int) -> Product:
    return Product(
        id=sku, title=title, category="smartphones", price=price * 100, weight_g=weight_g, size_cm=(18, 6, 10)
    )


def _extra(sku: str, title: str, category: str, price: int, weight_g: int) -> Product:
    return Product(id=sku, title=title, category=category, price=price * 100, weight_g=weight_g, size_cm=(16, 4, 10))


def _service(sku: str, title: str, price: int) -> Product:
    return Product(id=sku, title=title, category="insurance", price=price * 100, weight_g=None, size_cm=None)


PHONES = (
    _phone("PH-101", "Kelvara 3, 128 GB", 12_499, 410),
    _phone("PH-102", "Kelvara 3 Plus, 256 GB", 18_999, 450),
    _phone("PH-103", "Kelvara 3 Ultra, 512 GB", 42_999, 520),
    _phone("PH-201", "Tavrilo Mini, 64 GB", 6_299, 350),
    _phone("PH-202", "Tavrilo Max, 256 GB", 24_499, 480),
    _phone("PH-301", "Ombrix Fold, 512 GB", 64_999, 560),
    _phone("PH-302", "Ombrix Lite, 128 GB", 8_749, 390),
)
EXTRAS = (
    _extra("CS-001", "Clear case", "cases", 249, 60),
    _extra("CS-002", "Leather case", "cases", 899, 110),
    _extra("CS-003", "Outdoor case", "cases", 649, 180),
    _extra("CH-001", "Charger 20 W", "chargers", 399, 120),
    _extra("CH-002", "Charger 65 W", "chargers", 1_149, 260),
    _extra("CH-003", "Wireless charging pad", "chargers", 799, 310),
    _service("IN-001", "Screen insurance, 1 year", 1_299),
    _service("IN-002", "Full insurance, 2 years", 3_499),
)
# The one thing that needs two pairs of hands, so that parcel rules have something to find.
CABINET = Product(
    id="CH-900",
    title="Charging cabinet for 20 phones",
    category="chargers",
    price=1_289_900,
    weight_g=14_600,
    size_cm=(62, 45, 38),
)
PRODUCTS = (*PHONES, *EXTRAS, CABINET)

#: City, province and the first two digits of its postal codes.
PLACES = (
    ("İstanbul", "İstanbul", "34"),
    ("Ankara", "Ankara", "06"),
    ("İzmir", "İzmir", "35"),
    ("Bursa", "Bursa", "16"),
    ("Antalya", "Antalya", "07"),
    ("Adana", "Adana", "01"),
    ("Çorlu", "Tekirdağ", "59"),
    ("Eskişehir", "Eskişehir", "26"),
)
INSTALMENTS = (1, 1, 1, 3, 3, 6, 6, 9, 12)
SELLERS = ("counter", "online", "online", "online")
