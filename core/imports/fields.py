"""The fields that columns can go to, with the headings under which people write them in three languages."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.imports import cells
from core.imports.cells import Reader

#: Columns may also go to a field of the shop's own, named `fields.NAME`.
CUSTOM = "fields."


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """Where a column can go."""

    name: str
    title: Mapping[str, str]
    read: Reader
    #: Headings that mean this field, in any case and alphabet.
    words: tuple[str, ...] = ()
    required: bool = False


def _field(name: str, read: Reader, titles: str, words: str = "", *, required: bool = False) -> Field:
    en, tr, ru = titles.split("|")
    named = tuple(word.strip() for word in words.split("|") if word.strip())
    return Field(
        name=name,
        title={"en": en, "tr": tr, "ru": ru},
        read=read,
        words=(name.replace("_", " "), en, tr, ru, *named),
        required=required,
    )


_TEXT, _AMOUNT, _NUMBER = cells.read_text, cells.read_amount, cells.read_number
_CURRENCY = _field("currency", cells.read_currency, "Currency|Para birimi|Валюта", "döviz|kur")
_TAGS = _field("tags", cells.read_list, "Tags|Etiketler|Метки", "etiket|теги|тег|labels")
_SKU_WORDS = "stock code|stockcode|article|item code|product code|stok kodu|ürün kodu|артикул|код товара|kod|код"
_SKU = _field("sku", _TEXT, "SKU|Stok kodu|Артикул", _SKU_WORDS, required=True)

KINDS: dict[str, tuple[Field, ...]] = {
    "customers": (
        _field(
            "external_id",
            _TEXT,
            "Customer number|Müşteri no|Номер клиента",
            "id|customer id|customerid|müşteri numarası|müşteri kodu|код клиента|ид",
        ),
        _field("phone", _TEXT, "Phone|Telefon|Телефон", "phone number|mobile|gsm|cep|cep telefonu|тел|мобильный|tel"),
        _field("email", _TEXT, "E-mail|E-posta|Эл. почта", "email|mail|eposta|почта|e-mail address|емейл|имейл"),
        _field("name", _TEXT, "Name|Ad soyad|Имя", "full name|customer|müşteri|ad soyadı|фио|клиент|isim"),
        _field("first_name", _TEXT, "First name|Ad|Имя (личное)", "given name|adı"),
        _field("last_name", _TEXT, "Last name|Soyad|Фамилия", "surname|family name|soyadı"),
        _field("language", _TEXT, "Language|Dil|Язык", "lang|dili"),
        _field("city", _TEXT, "City|Şehir|Город", "town|il|şehri"),
        _field("birthday", cells.read_day, "Birthday|Doğum günü|День рождения", "birth date|doğum tarihi"),
        _field("created_at", cells.read_moment, "Customer since|Kayıt tarihi|Дата регистрации", "created|registered"),
        _TAGS,
    ),
    "products": (
        _SKU,
        _field("external_id", _TEXT, "Product number|Ürün no|Номер товара", "id|product id|ид"),
        _field("name", _TEXT, "Name|Ürün adı|Название", "product|product name|title|ürün|ad|товар|наименование"),
        _field("brand", _TEXT, "Brand|Marka|Бренд", "manufacturer|vendor|üretici|марка|производитель"),
        _field("category", _TEXT, "Category|Kategori|Категория", "group|type|grup|группа|раздел"),
        _field("description", _TEXT, "Description|Açıklama|Описание", "text|details|ürün açıklaması"),
        _field("url", _TEXT, "Page|Sayfa|Страница", "link|адрес|bağlantı|ссылка"),
        _field("image", _TEXT, "Picture|Görsel|Изображение", "image url|photo|resim|фото|картинка"),
        _field("barcode", _TEXT, "Barcode|Barkod|Штрихкод", "ean|gtin|upc|штрих-код"),
        _field("weight_g", cells.read_whole, "Weight, g|Ağırlık, g|Вес, г", "weight|grams|ağırlık|вес|gram"),
        _field("price", _AMOUNT, "Price|Fiyat|Цена", "unit price|unitprice|retail price|satış fiyatı|стоимость"),
        _CURRENCY,
        _field("active", cells.read_flag, "On sale|Satışta|В продаже", "enabled|aktif|активен|yayında"),
        _TAGS,
    ),
    "prices": (
        _SKU,
        _field("price", _AMOUNT, "Price|Fiyat|Цена", "unit price|new price|yeni fiyat|стоимость", required=True),
        _CURRENCY,
        _field("list", _TEXT, "Price list|Fiyat listesi|Прайс-лист", "price type|fiyat tipi|тип цены"),
        _field("since", cells.read_moment, "Valid from|Başlangıç|Действует с", "since|from|start|tarih|дата|начало"),
    ),
    "stock": (
        _SKU,
        _field("place", _TEXT, "Place|Depo|Склад", "warehouse|location|store|ambar|mağaza|магазин"),
        _field(
            "on_hand",
            _NUMBER,
            "On hand|Stok|Остаток",
            "quantity|qty|stock|amount|miktar|adet|stok adedi|количество|кол-во|наличие",
            required=True,
        ),
    ),
    "orders": (
        _field(
            "number",
            _TEXT,
            "Order number|Sipariş no|Номер заказа",
            "order|order id|invoice|invoice no|invoiceno|sipariş|sipariş numarası|fatura no|заказ|№",
            required=True,
        ),
        _field(
            "created_at",
            cells.read_moment,
            "Placed at|Sipariş tarihi|Дата заказа",
            "date|order date|invoice date|invoicedate|created|tarih|дата",
        ),
        _field("status", _TEXT, "Status|Durum|Статус", "order status|state|sipariş durumu|состояние"),
        _field("status_at", cells.read_moment, "Status since|Durum tarihi|Дата статуса"),
        _field(
            "customer_id",
            _TEXT,
            "Customer number|Müşteri no|Номер клиента",
            "customerid|müşteri numarası|müşteri kodu|код клиента",
        ),
        _field("customer_name", _TEXT, "Customer|Müşteri|Клиент", "name|full name|ad soyad|имя|фио|покупатель"),
        _field("customer_phone", _TEXT, "Phone|Telefon|Телефон", "mobile|gsm|cep telefonu|тел|phone number"),
        _field("customer_email", _TEXT, "E-mail|E-posta|Эл. почта", "email|mail|почта"),
        _field("channel", _TEXT, "Channel|Kanal|Канал", "source|kaynak|источник"),
        _field("delivery", _TEXT, "Delivery|Teslimat|Доставка", "shipping method|kargo|способ доставки"),
        _field("address", _TEXT, "Address|Adres|Адрес", "shipping address|teslimat adresi|адрес доставки"),
        _field("seller", _TEXT, "Seller|Satıcı|Продавец", "manager|salesperson|satış temsilcisi|менеджер"),
        _CURRENCY,
        _field("discount", _AMOUNT, "Discount|İndirim|Скидка", "order discount"),
        _field("delivery_cost", _AMOUNT, "Delivery cost|Kargo ücreti|Стоимость доставки", "shipping|shipping cost"),
        _field("total", _AMOUNT, "Total|Toplam|Итого", "order total|sum|genel toplam|сумма|сумма заказа"),
        _field("item_sku", _TEXT, "SKU|Stok kodu|Артикул", _SKU_WORDS),
        _field("item_name", _TEXT, "Item|Ürün|Товар", "product|description|ürün adı|наименование|item name"),
        _field("item_quantity", _NUMBER, "Quantity|Adet|Количество", "qty|pieces|miktar|кол-во"),
        _field("item_price", _AMOUNT, "Price|Birim fiyat|Цена", "unit price|unitprice|fiyat|цена за единицу"),
        _field("item_discount", _AMOUNT, "Item discount|Satır indirimi|Скидка на товар"),
        _TAGS,
    ),
}


def find_field(kind: str, name: str) -> Field | None:
    """Return the field of that name; own fields are text."""
    if name.startswith(CUSTOM) and len(name) > len(CUSTOM) and kind in ("customers", "products", "orders"):
        return _field(name, _TEXT, f"{name}|{name}|{name}")
    return next((field for field in KINDS[kind] if field.name == name), None)
