"""A doorbell: tells when somebody rings, notes it, and sounds a horn elsewhere. Imports nothing of Vitrin's."""

import pluggy

hookimpl = pluggy.HookimplMarker("vitrin")


def words(en, tr, ru):
    return {"en": en, "tr": tr, "ru": ru}


@hookimpl
def vitrin_manifest():
    return {
        "title": words("Doorbell", "Kapı zili", "Дверной звонок"),
        "summary": words("Tells who rings.", "Kimin çaldığını söyler.", "Сообщает, кто звонит."),
        "category": "test",
        "version": "1.0.0",
        "permissions": {"hosts": ["127.0.0.1"], "effects": ["task", "call"]},
        "settings": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "horn": {"type": "string", "title": "Address of the horn", "default": "http://127.0.0.1:1"},
                "password": {"type": "string", "title": "Password", "writeOnly": True},
            },
        },
    }


@hookimpl
def vitrin_events():
    who = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}, "name": {"type": "string"}}}
    return [
        {
            "name": "door.rung",
            "title": words("Somebody rings", "Biri zili çalıyor", "Кто-то звонит"),
            "schema": {"type": "object", "required": ["guest"], "properties": {"guest": who}},
            "sample": {"guest": {"id": "g-1", "name": "Elif"}},
            "key": "guest.id",
        },
        {
            "name": "door.noted",
            "title": words("A guest was noted", "Misafir not edildi", "Гость записан"),
            "schema": {"type": "object", "properties": {"times": {"type": "integer"}}},
            "sample": {"times": 1},
        },
    ]


@hookimpl
def vitrin_actions():
    return [
        {
            "name": "door.note_guest",
            "title": words("Note the guest", "Misafiri not et", "Записать гостя"),
            "effect": "task",
            "scope": "local",
            "params": text_params("name"),
            "run": note_guest,
            "preview": preview,
        },
        {
            "name": "door.sound_horn",
            "title": words("Sound the horn", "Kornayı çal", "Подать сигнал"),
            "effect": "call",
            "scope": "outside",
            "takes_key": True,
            "params": text_params("name"),
            "run": sound_horn,
            "preview": preview,
        },
    ]


@hookimpl
def vitrin_facts():
    return [
        {
            "name": "door.luck",
            "title": words("Letters of the guest's number", "Misafirin numarasının harfleri", "Буквы номера гостя"),
            "schema": {"type": "integer"},
            "subject": "guest.id",
            "load": count_letters,
        }
    ]


@hookimpl
def vitrin_operators():
    return [
        {
            "name": "rhymes_with",
            "title": words("rhymes with", "ile kafiyeli", "рифмуется с"),
            "types": ["text"],
            "test": lambda value, wanted: value[-2:].lower() == wanted[-2:].lower(),
        }
    ]


@hookimpl
def vitrin_check(ctx):
    ctx.http.get(f"{ctx.settings['horn']}/horn").raise_for_status()
    return {"account": "The horn"}


def text_params(name):
    field = {"type": "string", "title": "Name", "minLength": 1}
    return {"type": "object", "additionalProperties": False, "required": [name], "properties": {name: field}}


def count_letters(ctx, keys):
    return {key: len(key[0]) for key in keys}


def note_guest(ctx, params):
    """Write through ctx only: a task, a document of our own, an event."""
    times = ctx.store.get("times", 0) + 1
    ctx.store.put("times", times)
    ctx.shop.create_task({"title": f"{params['name']} is at the door", "idempotency_key": ctx.idempotency_key})
    ctx.emit("door.noted", {"times": times})
    return {"object": f"guest:{params['name']}", "times": times}


def sound_horn(ctx, params):
    answer = ctx.http.post(
        f"{ctx.settings['horn']}/horn", json={"for": params["name"]}, idempotency_key=ctx.idempotency_key
    )
    return {"object": "horn:1", "heard": answer.raise_for_status().json()["heard"]}


def preview(ctx, params):
    return {"text": words(f"for {params['name']}", f"{params['name']} için", f"для {params['name']}")}
