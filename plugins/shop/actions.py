"""What rules can do in the shop, one row an action. Without customer or order, the event's are meant."""

from collections.abc import Mapping
from typing import Any

from plugins.shop.labels import fields, labelled, moment, number, text, words

Params = dict[str, Any]

_CUSTOMER = text("Customer", "Müşteri", "Клиент", description="The event's customer when left out.")
_ORDER = text("Order", "Sipariş", "Заказ", description="The event's order when left out.")
_TAG = text("Tag", "Etiket", "Метка", minLength=1, maxLength=300)
_PRIORITY = text("Priority", "Öncelik", "Приоритет", enum=["low", "normal", "high", "urgent"], default="normal")
_PERSON = fields(
    ("set",),
    closed=True,
    customer=_CUSTOMER,
    set=labelled(
        fields(
            closed=True,
            name=text("Name", "Ad", "Имя"),
            first_name=text("First name", "İsim", "Имя"),
            last_name=text("Last name", "Soyadı", "Фамилия"),
            phone=text("Phone", "Telefon", "Телефон"),
            email=text("E-mail", "E-posta", "Эл. почта"),
            city=text("City", "Şehir", "Город"),
            language=text("Language", "Dil", "Язык"),
            zone=text("Time zone", "Saat dilimi", "Часовой пояс"),
            birthday=text("Birthday", "Doğum günü", "День рождения"),
            fields=labelled({"type": "object"}, ("Custom fields", "Özel alanlar", "Свои поля")),
        ),
        ("Fields", "Alanlar", "Поля"),
    ),
)


def _subject(ctx: Any, params: Params, noun: str) -> str:
    reference = params.get(noun) or ctx.subject.get(noun)
    if not reference:
        ctx.invalid(noun, f"the event names no {noun}: choose one in the action")
    return str(reference)


def _system(ctx: Any) -> str | None:
    """Return whose ids the event speaks in."""
    return ctx.subject.get("source")


def _customer(ctx: Any, params: Params) -> str:
    return ctx.shop.open_customer(_subject(ctx, params, "customer"), system=_system(ctx))


def _order(ctx: Any, params: Params) -> str:
    """Return our id of the order: as an id of the event's source, else of whichever system has it alone."""
    reference = _subject(ctx, params, "order")
    return ctx.shop.find_order(reference, system=_system(ctx)) or ctx.shop.get_order(reference)


def _create_task(ctx: Any, params: Params) -> Params:
    linked = {noun: params.get(noun) or ctx.subject.get(noun) for noun in ("customer", "order")}
    wanted = {name: params[name] for name in ("text", "due", "priority", "assignee", "role") if params.get(name)}
    wanted |= {"title": params["title"], "idempotency_key": ctx.idempotency_key}
    wanted |= {noun: value for noun, value in linked.items() if value}
    if wanted.get("order"):
        wanted["order"] = ctx.shop.find_order(wanted["order"], system=_system(ctx)) or wanted["order"]
    change = ctx.shop.create_task(wanted, system=_system(ctx))
    return {"object": f"task:{change.id}", "task": change.id, "undo": {"task": change.id}}


def _cancel_task(ctx: Any, result: Mapping[str, Any]) -> None:
    ctx.shop.close_task(result["undo"]["task"], status="canceled", by="undo")


def _preview_task(_ctx: Any, params: Params) -> Params:
    whom = params.get("assignee") or params.get("role")
    tail = words(f" (for {whom})", f" ({whom} için)", f" (для {whom})") if whom else words("", "", "")
    title = params.get("title", "")
    said = words(f"Create a task: {title}", f"Görev oluştur: {title}", f"Создать задачу: {title}")
    return {"text": {language: said[language] + tail[language] for language in said}}


def _add_customer_tag(ctx: Any, params: Params) -> Params:
    change = ctx.shop.add_tag("customer", _customer(ctx, params), params["tag"])
    return _tagged("customer", change, params["tag"])


def _remove_customer_tag(ctx: Any, params: Params) -> Params:
    change = ctx.shop.remove_tag("customer", _customer(ctx, params), params["tag"])
    return _tagged("customer", change, params["tag"])


def _add_order_tag(ctx: Any, params: Params) -> Params:
    return _tagged("order", ctx.shop.add_tag("order", _order(ctx, params), params["tag"]), params["tag"])


def _tagged(noun: str, change: Any, tag: str) -> Params:
    result: Params = {"object": f"{noun}:{change.id}", "changed": change.is_changed}
    if change.is_changed:
        result["undo"] = {noun: change.id, "tag": tag}
    return result


def _untag(noun: str) -> Any:
    def undo(ctx: Any, result: Mapping[str, Any]) -> None:
        if "undo" in result:
            ctx.shop.remove_tag(noun, result["undo"][noun], result["undo"]["tag"])

    return undo


def _tag_again(ctx: Any, result: Mapping[str, Any]) -> None:
    if "undo" in result:
        ctx.shop.add_tag("customer", result["undo"]["customer"], result["undo"]["tag"])


def _preview_tag(en: str, tr: str, ru: str) -> Any:
    def preview(_ctx: Any, params: Params) -> Params:
        tag = params.get("tag", "")
        return {"text": words(f"{en}: {tag}", f"{tr}: {tag}", f"{ru}: {tag}")}

    return preview


def _update_customer(ctx: Any, params: Params) -> Params:
    change = ctx.shop.upsert_customer({"id": _customer(ctx, params)} | params["set"], path="set")
    before = {name.removeprefix("customer."): moved["from"] for name, moved in change.changes.items()}
    own = {name.removeprefix("fields."): value for name, value in before.items() if name.startswith("fields.")}
    plain = {name: value for name, value in before.items() if "." not in name}
    result = {"object": f"customer:{change.id}", "changed": change.is_changed, "ignored": dict(change.ignored)}
    return result | {"undo": {"customer": change.id, "set": plain | ({"fields": own} if own else {})}}


def _restore_customer(ctx: Any, result: Mapping[str, Any]) -> None:
    before = result["undo"]
    if before["set"]:
        ctx.shop.upsert_customer({"id": before["customer"]} | before["set"])


def _preview_customer(_ctx: Any, params: Params) -> Params:
    said = ", ".join(f"{name} = {value}" for name, value in params.get("set", {}).items())
    return {"text": words(f"Change the customer: {said}", f"Müşteriyi değiştir: {said}", f"Изменить клиента: {said}")}


def _change_status(ctx: Any, params: Params) -> Params:
    change = ctx.shop.change_status(_order(ctx, params), params["status"])
    result: Params = {"object": f"order:{change.id}", "changed": change.is_changed, "ignored": dict(change.ignored)}
    if "order.status" in change.changes:
        result["undo"] = {"order": change.id, "status": change.changes["order.status"]["from"]}
    return result


def _restore_status(ctx: Any, result: Mapping[str, Any]) -> None:
    if "undo" in result:
        ctx.shop.change_status(result["undo"]["order"], result["undo"]["status"])


def _preview_status(_ctx: Any, params: Params) -> Params:
    code = params.get("status", "")
    return {"text": words(f"Set the order to {code}", f"Siparişi {code} yap", f"Перевести заказ в {code}")}


def _add_note(ctx: Any, params: Params) -> Params:
    order = _order(ctx, params)
    change = ctx.shop.add_note("order", order, params["text"], idempotency_key=ctx.idempotency_key)
    return {"object": f"order:{order}", "note": change.id, "undo": {"note": change.id}}


def _delete_note(ctx: Any, result: Mapping[str, Any]) -> None:
    ctx.shop.delete_note(result["undo"]["note"])


def _preview_note(_ctx: Any, params: Params) -> Params:
    note = params.get("text", "")
    return {"text": words(f"Write on the order: {note}", f"Siparişe not yaz: {note}", f"Записать к заказу: {note}")}


def _reserve(ctx: Any, params: Params) -> Params:
    wanted = {name: params[name] for name in ("sku", "place", "quantity", "until") if params.get(name) is not None}
    order = params.get("order") or ctx.subject.get("order")
    wanted |= {"order": order} if order else {}
    change = ctx.shop.reserve(wanted | {"idempotency_key": ctx.idempotency_key})
    return {"object": f"reservation:{change.id}", "reservation": change.id, "undo": {"reservation": change.id}}


def _release(ctx: Any, params: Params) -> Params:
    change = ctx.shop.release(params["reservation"])
    return {"object": f"reservation:{change.id}", "changed": change.is_changed}


def _release_again(ctx: Any, result: Mapping[str, Any]) -> None:
    ctx.shop.release(result["undo"]["reservation"])


def _preview_stock(en: str, tr: str, ru: str) -> Any:
    def preview(_ctx: Any, params: Params) -> Params:
        what = " ".join(str(params[name]) for name in ("quantity", "sku", "reservation") if name in params)
        return {"text": words(f"{en} {what}", f"{tr} {what}", f"{ru} {what}")}

    return preview


def _result(**properties: Any) -> dict[str, Any]:
    return fields(("object",), object={"type": "string"}, undo={"type": "object"}, **properties)


_FLAG = {"type": "boolean"}
_TEXT = {"type": "string"}


ACTIONS: tuple[dict[str, Any], ...] = (
    {
        "name": "tasks.create",
        "title": words("Create a task", "Görev oluştur", "Создать задачу"),
        "params": fields(
            ("title",),
            closed=True,
            title=text("Title", "Başlık", "Заголовок", minLength=1, maxLength=1000),
            text=text("Text", "Metin", "Текст", maxLength=100000),
            assignee=text("Assignee", "Sorumlu", "Исполнитель", description="Name, e-mail address or id of staff."),
            role=text("Role", "Rol", "Роль"),
            due=moment("Due", "Son tarih", "Срок"),
            priority=_PRIORITY,
            customer=_CUSTOMER,
            order=_ORDER,
        ),
        "result": _result(task=_TEXT),
        "effect": "task",
        "scope": "local",
        "run": _create_task,
        "preview": _preview_task,
        "undo": _cancel_task,
    },
    {
        "name": "customers.add_tag",
        "title": words("Tag the customer", "Müşteriyi etiketle", "Поставить метку клиенту"),
        "params": fields(("tag",), closed=True, tag=_TAG, customer=_CUSTOMER),
        "result": _result(changed=_FLAG),
        "effect": "tag",
        "scope": "local",
        "run": _add_customer_tag,
        "preview": _preview_tag("Tag the customer", "Müşteriyi etiketle", "Поставить метку клиенту"),
        "undo": _untag("customer"),
    },
    {
        "name": "customers.remove_tag",
        "title": words("Remove the customer's tag", "Müşterinin etiketini kaldır", "Снять метку клиента"),
        "params": fields(("tag",), closed=True, tag=_TAG, customer=_CUSTOMER),
        "result": _result(changed=_FLAG),
        "effect": "tag",
        "scope": "local",
        "run": _remove_customer_tag,
        "preview": _preview_tag("Remove the tag", "Etiketi kaldır", "Снять метку"),
        "undo": _tag_again,
    },
    {
        "name": "customers.update",
        "title": words("Change the customer", "Müşteriyi değiştir", "Изменить клиента"),
        "params": _PERSON,
        "result": _result(changed=_FLAG, ignored={"type": "object"}),
        "effect": "customer",
        "scope": "local",
        "run": _update_customer,
        "preview": _preview_customer,
        "undo": _restore_customer,
    },
    {
        "name": "orders.change_status",
        "title": words("Change the order's status", "Sipariş durumunu değiştir", "Изменить статус заказа"),
        "params": fields(("status",), closed=True, status=text("Status", "Durum", "Статус", minLength=1), order=_ORDER),
        "result": _result(changed=_FLAG, ignored={"type": "object"}),
        "effect": "status",
        "scope": "local",
        "run": _change_status,
        "preview": _preview_status,
        "undo": _restore_status,
    },
    {
        "name": "orders.add_tag",
        "title": words("Tag the order", "Siparişi etiketle", "Поставить метку заказу"),
        "params": fields(("tag",), closed=True, tag=_TAG, order=_ORDER),
        "result": _result(changed=_FLAG),
        "effect": "tag",
        "scope": "local",
        "run": _add_order_tag,
        "preview": _preview_tag("Tag the order", "Siparişi etiketle", "Поставить метку заказу"),
        "undo": _untag("order"),
    },
    {
        "name": "orders.add_note",
        "title": words("Write a note on the order", "Siparişe not yaz", "Добавить заметку к заказу"),
        "params": fields(
            ("text",), closed=True, text=text("Text", "Metin", "Текст", minLength=1, maxLength=100000), order=_ORDER
        ),
        "result": _result(note=_TEXT),
        "effect": "note",
        "scope": "local",
        "run": _add_note,
        "preview": _preview_note,
        "undo": _delete_note,
    },
    {
        "name": "stock.reserve",
        "title": words("Reserve stock", "Stok ayır", "Зарезервировать товар"),
        "params": fields(
            ("sku",),
            closed=True,
            sku=text("SKU", "Stok kodu", "Артикул", minLength=1),
            quantity=number("Quantity", "Adet", "Количество", exclusiveMinimum=0, default=1),
            place=text("Place", "Yer", "Склад", minLength=1),
            until=moment("Hold until", "Şu zamana kadar", "Держать до"),
            order=_ORDER,
        ),
        "result": _result(reservation=_TEXT),
        "effect": "stock",
        "scope": "local",
        "run": _reserve,
        "preview": _preview_stock("Reserve", "Ayır:", "Зарезервировать"),
        "undo": _release_again,
    },
    {
        "name": "stock.release",
        "title": words("Release reserved stock", "Ayrılan stoğu bırak", "Снять резерв"),
        "params": fields(
            ("reservation",), closed=True, reservation=text("Reservation", "Rezervasyon", "Резерв", minLength=1)
        ),
        "result": _result(changed=_FLAG),
        "effect": "stock",
        "scope": "local",
        "run": _release,
        "preview": _preview_stock("Release", "Bırak:", "Снять резерв"),
    },
)
