"""The event types of the shop: one table of names, titles and what their data holds."""

from typing import Any

from plugins.shop.labels import (
    Labels,
    Schema,
    fields,
    labelled,
    many,
    moment,
    money,
    number,
    text,
    texts,
    whole,
    words,
    yes_no,
)

PRODUCT = fields(
    id=text("Product id", "Ürün kimliği", "Код товара"),
    sku=text("SKU", "Stok kodu", "Артикул"),
    name=text("Product name", "Ürün adı", "Название товара"),
    category=text("Category", "Kategori", "Категория"),
    brand=text("Brand", "Marka", "Бренд"),
    weight_g=number("Weight, g", "Ağırlık, g", "Вес, г"),
    options=labelled({"type": "object"}, ("Options", "Seçenekler", "Параметры")),
    tags=texts("Product tags", "Ürün etiketleri", "Метки товара"),
)
ITEM = fields(
    product=labelled(PRODUCT, ("Product", "Ürün", "Товар")),
    quantity=number("Quantity", "Adet", "Количество"),
    price=money("Price", "Fiyat", "Цена"),
    total=money("Line total", "Satır toplamı", "Сумма строки"),
)
PAYMENT = fields(
    id=text("Payment id", "Ödeme kimliği", "Код платежа"),
    provider=text("Payment provider", "Ödeme sağlayıcı", "Платёжная система"),
    state=text("Payment state", "Ödeme durumu", "Состояние платежа"),
    method=text("Payment method", "Ödeme yöntemi", "Способ оплаты"),
    instalments=whole("Instalments", "Taksit sayısı", "Число взносов"),
    amount=money("Amount", "Tutar", "Сумма"),
    refunded=money("Refunded", "İade edilen", "Возвращено"),
    paid_at=moment("Paid at", "Ödeme zamanı", "Время оплаты"),
)
SHIPMENT = fields(
    id=text("Shipment id", "Gönderi kimliği", "Код отправления"),
    carrier=text("Carrier", "Kargo firması", "Перевозчик"),
    tracking=text("Tracking number", "Takip numarası", "Трек-номер"),
    state=text("Shipment state", "Gönderi durumu", "Состояние отправления"),
)
CUSTOMER = fields(
    id=text("Customer id", "Müşteri kimliği", "Код клиента"),
    name=text("Customer name", "Müşteri adı", "Имя клиента"),
    phone=text("Phone", "Telefon", "Телефон"),
    email=text("E-mail", "E-posta", "Эл. почта"),
    city=text("City", "Şehir", "Город"),
    language=text("Language", "Dil", "Язык"),
    birthday=text("Birthday", "Doğum günü", "День рождения"),
    tags=texts("Customer tags", "Müşteri etiketleri", "Метки клиента"),
)
ORDER = fields(
    ("id",),
    id=text("Order id", "Sipariş kimliği", "Код заказа"),
    number=text("Order number", "Sipariş numarası", "Номер заказа"),
    status=text("Order status", "Sipariş durumu", "Статус заказа"),
    status_group=text("Status group", "Durum grubu", "Группа статусов"),
    channel=text("Sales channel", "Satış kanalı", "Канал продаж"),
    delivery=text("Delivery", "Teslimat", "Доставка"),
    seller=text("Seller", "Satıcı", "Продавец"),
    items=many(ITEM, ("Items", "Kalemler", "Позиции")),
    payments=many(PAYMENT, ("Payments", "Ödemeler", "Платежи")),
    shipments=many(SHIPMENT, ("Shipments", "Gönderiler", "Отправления")),
    total=money("Order total", "Sipariş toplamı", "Сумма заказа"),
    paid_total=money("Paid in all", "Toplam ödenen", "Оплачено всего"),
    is_paid=yes_no("Is paid in full", "Tamamı ödendi", "Оплачен полностью"),
    tags=texts("Order tags", "Sipariş etiketleri", "Метки заказа"),
    created_at=moment("Placed at", "Sipariş zamanı", "Время заказа"),
)
TASK = fields(
    id=text("Task id", "Görev kimliği", "Код задачи"),
    title=text("Task title", "Görev başlığı", "Заголовок задачи"),
    text=text("Task text", "Görev metni", "Текст задачи"),
    due=moment("Due", "Son tarih", "Срок"),
    priority=text("Priority", "Öncelik", "Приоритет"),
    assignee=text("Assignee", "Sorumlu", "Исполнитель"),
    role=text("Role", "Rol", "Роль"),
    status=text("Task status", "Görev durumu", "Статус задачи"),
)
MESSAGE = fields(
    id=text("Message id", "Mesaj kimliği", "Код сообщения"),
    channel=text("Channel", "Kanal", "Канал"),
    address=text("Address", "Adres", "Адрес"),
    status=text("Message status", "Mesaj durumu", "Статус сообщения"),
    error=text("Error", "Hata", "Ошибка"),
)
STAFF = fields(
    id=text("Staff id", "Personel kimliği", "Код сотрудника"),
    name=text("Staff name", "Personel adı", "Имя сотрудника"),
    email=text("Staff e-mail", "Personel e-postası", "Почта сотрудника"),
    shop=text("Branch", "Şube", "Магазин"),
    role=text("Role", "Rol", "Роль"),
)
PRICE: Schema = {
    "type": "object",
    "properties": {
        "list": text("Price list", "Fiyat listesi", "Прайс-лист"),
        "from": money("Price before", "Önceki fiyat", "Прежняя цена"),
        "to": money("Price now", "Yeni fiyat", "Новая цена"),
    },
}
STOCK = fields(
    place=text("Place", "Yer", "Склад"),
    on_hand=number("On hand", "Eldeki", "В наличии"),
    reserved=number("Reserved", "Ayrılan", "В резерве"),
    available=number("Available", "Satılabilir", "Доступно"),
)
REVIEW = fields(
    id=text("Review id", "Yorum kimliği", "Код отзыва"),
    score=number("Score", "Puan", "Оценка"),
    text=text("Review text", "Yorum metni", "Текст отзыва"),
)
CHANGES = labelled({"type": "object"}, ("Changes", "Değişiklikler", "Изменения"))

_TRY = {"currency": "TRY"}
_PRODUCT = {"id": "p-1", "sku": "CASE-1", "name": "Phone case", "category": "cases", "brand": "Acme"}
_CUSTOMER = {
    "id": "c-1",
    "name": "A customer",
    "phone": "+905321234567",
    "city": "İstanbul",
    "language": "tr",
    "tags": ["vip"],
}
_PAYMENT = {"id": "pay-1", "provider": "till", "state": "paid", "amount": {"amount": "250.00"} | _TRY, "instalments": 1}
_ORDER = {
    "id": "o-1",
    "number": "1001",
    "status": "paid",
    "items": [{"product": _PRODUCT, "quantity": 1, "price": {"amount": "250.00"} | _TRY}],
    "payments": [_PAYMENT],
    "total": {"amount": "250.00"} | _TRY,
    "paid_total": {"amount": "250.00"} | _TRY,
    "tags": [],
}
_SHIPMENT = {"id": "s-1", "carrier": "post", "tracking": "RR123456785TR", "state": "shipped"}

#: noun -> (schema, labels, sample)
NOUNS: dict[str, tuple[dict[str, Any], tuple[str, str, str], dict[str, Any]]] = {
    "order": (ORDER, ("Order", "Sipariş", "Заказ"), _ORDER),
    "customer": (CUSTOMER, ("Customer", "Müşteri", "Клиент"), _CUSTOMER),
    "merged": (CUSTOMER, ("Merged record", "Birleştirilen kayıt", "Объединённая запись"), {"id": "c-2"}),
    "payment": (PAYMENT, ("Payment", "Ödeme", "Платёж"), _PAYMENT),
    "shipment": (SHIPMENT, ("Shipment", "Gönderi", "Отправление"), _SHIPMENT),
    "product": (PRODUCT, ("Product", "Ürün", "Товар"), _PRODUCT),
    "price": (
        PRICE,
        ("Price", "Fiyat", "Цена"),
        {"list": "retail", "from": {"amount": "250.00"} | _TRY, "to": {"amount": "225.00"} | _TRY},
    ),
    "stock": (
        STOCK,
        ("Stock", "Stok", "Остаток"),
        {"place": "main", "on_hand": 5, "reserved": 1, "available": 4},
    ),
    "task": (TASK, ("Task", "Görev", "Задача"), {"id": "t-1", "title": "Call the customer", "status": "open"}),
    "message": (
        MESSAGE,
        ("Message", "Mesaj", "Сообщение"),
        {"id": "m-1", "channel": "sms", "address": "+905321234567", "status": "sent"},
    ),
    "staff": (STAFF, ("Staff", "Personel", "Сотрудник"), {"id": "st-1", "name": "A seller"}),
    "review": (REVIEW, ("Review", "Yorum", "Отзыв"), {"id": "r-1", "score": 2, "text": "Came late."}),
}


def _of(name: str, titles: Labels, nouns: str, *, key: str = "") -> dict[str, Any]:
    """Return one event type; the first noun must be there, `key` is its id unless said otherwise."""
    first, *_ = named = nouns.split()
    properties = {noun: labelled(NOUNS[noun][0], NOUNS[noun][1]) for noun in named}
    sample = {noun: NOUNS[noun][2] for noun in named} | {"changes": {}}
    return {
        "name": name,
        "title": words(*titles),
        "schema": {"type": "object", "required": [first], "properties": properties | {"changes": CHANGES}},
        "sample": sample,
        "key": key or f"{first}.id",
        "customer": "customer.id" if "customer" in named else "",
    }


_ABOUT = "order customer"
_PAID = "payment order customer"
_SENT = "shipment order customer"
_TODO = "task order customer"

EVENTS = (
    _of("order.created", ("Order placed", "Sipariş verildi", "Заказ создан"), _ABOUT),
    _of("order.changed", ("Order changed", "Sipariş değişti", "Заказ изменён"), _ABOUT),
    _of("order.status_changed", ("Order status changed", "Sipariş durumu değişti", "Статус заказа изменён"), _ABOUT),
    _of("order.approved", ("Order approved", "Sipariş onaylandı", "Заказ подтверждён"), _ABOUT),
    _of("order.paid", ("Order paid", "Sipariş ödendi", "Заказ оплачен"), _ABOUT),
    _of("order.shipped", ("Order shipped", "Sipariş kargoya verildi", "Заказ отправлен"), _ABOUT),
    _of("order.delivered", ("Order delivered", "Sipariş teslim edildi", "Заказ доставлен"), _ABOUT),
    _of("order.completed", ("Order completed", "Sipariş tamamlandı", "Заказ выполнен"), _ABOUT),
    _of("order.canceled", ("Order canceled", "Sipariş iptal edildi", "Заказ отменён"), _ABOUT),
    _of(
        "order.unavailable", ("Order cannot be filled", "Sipariş karşılanamıyor", "Заказ невозможно выполнить"), _ABOUT
    ),
    _of("order.returned", ("Order returned", "Sipariş iade edildi", "Заказ возвращён"), _ABOUT),
    _of("payment.created", ("Payment begun", "Ödeme başladı", "Платёж начат"), _PAID, key="order.id"),
    _of("payment.received", ("Payment received", "Ödeme alındı", "Платёж получен"), _PAID, key="order.id"),
    _of("payment.failed", ("Payment failed", "Ödeme başarısız", "Платёж не прошёл"), _PAID, key="order.id"),
    _of("payment.refunded", ("Payment refunded", "Ödeme iade edildi", "Платёж возвращён"), _PAID, key="order.id"),
    _of("payment.changed", ("Payment changed", "Ödeme değişti", "Платёж изменён"), _PAID, key="order.id"),
    _of("shipment.created", ("Shipment created", "Gönderi oluşturuldu", "Отправление создано"), _SENT, key="order.id"),
    _of(
        "shipment.status_changed",
        ("Shipment moved on", "Gönderi durumu değişti", "Статус отправления изменён"),
        _SENT,
        key="order.id",
    ),
    _of("shipment.changed", ("Shipment changed", "Gönderi değişti", "Отправление изменено"), _SENT, key="order.id"),
    _of("customer.created", ("New customer", "Yeni müşteri", "Новый клиент"), "customer"),
    _of("customer.changed", ("Customer changed", "Müşteri değişti", "Клиент изменён"), "customer"),
    _of("customer.merged", ("Customers merged", "Müşteriler birleştirildi", "Клиенты объединены"), "customer merged"),
    _of("product.created", ("New product", "Yeni ürün", "Новый товар"), "product"),
    _of("product.changed", ("Product changed", "Ürün değişti", "Товар изменён"), "product"),
    _of("price.changed", ("Price changed", "Fiyat değişti", "Цена изменилась"), "price product", key="product.sku"),
    _of("stock.changed", ("Stock changed", "Stok değişti", "Остаток изменился"), "stock product", key="product.sku"),
    _of("task.created", ("Task created", "Görev oluşturuldu", "Задача создана"), _TODO),
    _of("task.changed", ("Task changed", "Görev değişti", "Задача изменена"), _TODO),
    _of("task.done", ("Task done", "Görev yapıldı", "Задача выполнена"), _TODO),
    _of("task.canceled", ("Task canceled", "Görev iptal edildi", "Задача отменена"), _TODO),
    _of("task.reopened", ("Task opened again", "Görev yeniden açıldı", "Задача открыта снова"), _TODO),
    _of("message.sent", ("Message sent", "Mesaj gönderildi", "Сообщение отправлено"), "message customer"),
    _of("message.delivered", ("Message delivered", "Mesaj ulaştı", "Сообщение доставлено"), "message customer"),
    _of("message.failed", ("Message failed", "Mesaj gönderilemedi", "Сообщение не доставлено"), "message customer"),
    _of("staff.created", ("New member of staff", "Yeni personel", "Новый сотрудник"), "staff"),
    _of("staff.changed", ("Member of staff changed", "Personel değişti", "Данные сотрудника изменены"), "staff"),
    _of("review.created", ("Review written", "Yorum yazıldı", "Отзыв оставлен"), f"review {_ABOUT}", key="order.id"),
)
