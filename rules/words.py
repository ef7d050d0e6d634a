"""What the engine says about rules in sentences, in the viewer's language.

Rows are told as subject, operator, value with operators that need no inflection, so they are right in all three.
"""

import re
from collections.abc import Mapping
from typing import Any

from core.durations import parse_duration, period_words
from core.errors import InvalidInput

LANGUAGES = ("en", "tr", "ru")
_PLACE = re.compile(r"\{([a-z]+)\}")

OPERATOR_WORDS: dict[str, tuple[str, str, str]] = {
    "equal": ("is", "şu:", "это"),
    "not_equal": ("is not", "şu değil:", "это не"),
    "at_least": ("at least", "en az", "не меньше"),
    "at_most": ("at most", "en çok", "не больше"),
    "above": ("above", "şundan fazla:", "больше"),
    "below": ("below", "şundan az:", "меньше"),
    "between": ("between", "arasında:", "между"),
    "rose_by": ("rose by at least", "en az şu kadar arttı:", "выросло не меньше чем на"),
    "fell_by": ("fell by at least", "en az şu kadar düştü:", "упало не меньше чем на"),
    "any_of": ("is any of", "şunlardan biri:", "одно из"),
    "none_of": ("is none of", "şunlardan hiçbiri:", "ни одно из"),
    "contains": ("contains", "şunu içerir:", "содержит"),
    "not_contains": ("does not contain", "şunu içermez:", "не содержит"),
    "starts_with": ("starts with", "şununla başlar:", "начинается с"),
    "ends_with": ("ends with", "şununla biter:", "заканчивается на"),
    "matches": ("matches", "şuna uyar:", "соответствует"),
    "empty": ("is empty", "boş", "пусто"),
    "not_empty": ("is not empty", "boş değil", "не пусто"),
    "yes": ("yes", "evet", "да"),
    "no": ("no", "hayır", "нет"),
    "not_known": ("not known", "bilinmiyor", "неизвестно"),
    "known": ("known", "biliniyor", "известно"),
    "changed": ("changed", "değişti", "изменилось"),
    "changed_to": ("changed to", "şuna değişti:", "изменилось на"),
    "changed_from_to": ("changed from, to", "şundan şuna değişti:", "изменилось с, на"),
    "before": ("before", "şundan önce:", "раньше"),
    "after": ("after", "şundan sonra:", "позже"),
    "on": ("on", "şu gün:", "в день"),
    "on_earlier_day_than": ("on an earlier day than", "şundan daha erken bir gün:", "днём раньше, чем"),
    "on_later_day_than": ("on a later day than", "şundan daha geç bir gün:", "днём позже, чем"),
    "in_last": ("in the last", "son", "за последние"),
    "not_in_last": ("not in the last", "son şu süre içinde değil:", "не за последние"),
    "more_than_ago": ("longer ago than", "şundan daha önce:", "раньше, чем назад"),
    "in_next": ("in the next", "önümüzdeki", "в ближайшие"),
    "weekday": ("on a", "şu günlerde:", "в дни"),
    "birthday": ("is the birthday", "doğum günü", "день рождения"),
    "include_any": ("include any of", "şunlardan birini içerir:", "включает любое из"),
    "include_all": ("include all of", "şunların hepsini içerir:", "включает все"),
    "include_none": ("include none of", "şunların hiçbirini içermez:", "не включает ни одного из"),
    "count_at_least": ("number at least", "sayısı en az", "количество не меньше"),
    "count_at_most": ("number at most", "sayısı en çok", "количество не больше"),
    "count_equal": ("number is", "sayısı", "количество равно"),
}

SENTENCES: dict[str, tuple[str, str, str]] = {
    "row": (
        "{field}: {operator} {expected}; it was {actual}",
        "{field}: {operator} {expected}; değeri {actual} idi",
        "{field}: {operator} {expected}; было {actual}",
    ),
    "missing": (
        "{field}: {operator} {expected}; it is not known",
        "{field}: {operator} {expected}; bilinmiyor",
        "{field}: {operator} {expected}; неизвестно",
    ),
    "off": (
        "The automation was off at that time.",
        "Otomasyon o sırada kapalıydı.",
        "Автоматизация тогда была выключена.",
    ),
    "other_event": (
        "The automation does not listen to {event}.",
        "Otomasyon {event} olayını dinlemiyor.",
        "Автоматизация не слушает событие {event}.",
    ),
    "too_deep": (
        "The chain of automations was cut off at depth {depth}.",
        "Otomasyon zinciri {depth} derinliğinde kesildi.",
        "Цепочка автоматизаций оборвана на глубине {depth}.",
    ),
    "stopped": (
        "It did not act because of this condition: {row}.",
        "Şu koşul nedeniyle çalışmadı: {row}.",
        "Не сработала из-за условия: {row}.",
    ),
    "unknown": (
        "It could not be checked: {row}.",
        "Kontrol edilemedi: {row}.",
        "Не удалось проверить: {row}.",
    ),
    "holds": (
        "Its conditions hold, but no run is stored: it was removed after its retention time.",
        "Koşulları sağlanıyor ama kayıtlı çalışma yok: saklama süresi dolunca silindi.",
        "Условия выполнены, но запуск не сохранился: удалён по истечении срока хранения.",
    ),
    "acted": ("It acted.", "Yapıldı.", "Сработала."),
    "waiting": ("It is waiting until {until}.", "Şu ana kadar bekliyor: {until}.", "Ожидает до {until}."),
    "waiting_for": (
        "It is waiting until {until}: {reason}.",
        "Şu ana kadar bekliyor: {until} ({reason}).",
        "Ожидает до {until}: {reason}.",
    ),
    "waiting_turn": ("It is waiting for its turn.", "Sırasını bekliyor.", "Ждёт своей очереди."),
    "held": ("It is held for approval: {reason}.", "Onay bekliyor: {reason}.", "Задержана до одобрения: {reason}."),
    "skipped": ("It was skipped: {reason}.", "Atlandı: {reason}.", "Пропущена: {reason}."),
    "failed": ("It failed: {reason}.", "Başarısız oldu: {reason}.", "Ошибка: {reason}."),
    "cancelled": ("It was cancelled: {reason}.", "İptal edildi: {reason}.", "Отменена: {reason}."),
    "run_stopped": ("It stopped: {reason}.", "Durdu: {reason}.", "Остановилась: {reason}."),
    "no_record": (
        "There is no record with the date {field} there.",
        "Orada {field} tarihi olan bir kayıt yok.",
        "Там нет записи с датой {field}.",
    ),
    "date_missing": (
        "{field} is not known there, so no time is planned.",
        "{field} bilinmiyor, bu yüzden bir zaman planlanmadı.",
        "{field}: неизвестно, поэтому время не назначено.",
    ),
    "date_odd": (
        "{field} is {value}, which is no date: write it like 2026-12-31.",
        "{field}: {value} bir tarih değil; 2026-12-31 gibi yazın.",
        "{field}: {value} не дата; напишите так: 2026-12-31.",
    ),
    "date_ahead": (
        "Its time comes at {until}: {field} is {value}.",
        "Zamanı şu: {until}; {field}: {value}.",
        "Время наступит {until}; {field}: {value}.",
    ),
    "date_past": (
        "Its time, {until}, had passed when the date was set or the automation was switched on; {field} is {value}.",
        "Tarih girildiğinde ya da otomasyon açıldığında zamanı ({until}) geçmişti; {field}: {value}.",
        "Время {until} прошло до того, как дата была указана или автоматизация включена; {field}: {value}.",
    ),
    "silence_unknown": (
        "{event} has not been seen there since the automation began to watch.",
        "Otomasyon izlemeye başladığından beri orada {event} görülmedi.",
        "С начала наблюдения там не было события {event}.",
    ),
    "silence_ahead": (
        "The last {event} was at {since}; it acts at {until} unless another one comes.",
        "Son {event}: {since}; yenisi gelmezse şu zaman çalışır: {until}.",
        "Последнее событие {event}: {since}; сработает {until}, если не будет нового.",
    ),
    "silence_told": (
        "It was told of this silence at {at}; the next {event} starts a new count.",
        "Bu sessizlik {at} zamanında bildirildi; sıradaki {event} sayımı yeniden başlatır.",
        "Об этой тишине сообщено {at}; следующее событие {event} начнёт новый отсчёт.",
    ),
    "silence_past": (
        "The silence since {since} was over before the automation was on; the next {event} starts a new count.",
        "{since} zamanından beri süren sessizlik otomasyon açılmadan doldu; sıradaki {event} yeni sayım başlatır.",
        "Тишина с {since} истекла до включения автоматизации; следующее событие {event} начнёт новый отсчёт.",
    ),
    "no_event": (
        "Nothing that this automation listens to has happened there.",
        "Orada bu otomasyonun dinlediği bir şey olmadı.",
        "Там не было ничего, что слушает эта автоматизация.",
    ),
}


def say(name: str, language: str = "en", **given: Any) -> str:
    """Return a sentence of the table, filled in."""
    # In one go: braces in what is filled in are data.
    return _PLACE.sub(lambda place: str(given.get(place[1], place[0])), SENTENCES[name][_column(language)])


def _column(language: str) -> int:
    return LANGUAGES.index(language) if language in LANGUAGES else 0


def say_row(told: Mapping[str, Any], language: str = "en") -> str:
    """Return one explained condition row as a sentence part."""
    words = OPERATOR_WORDS.get(told["is"])
    operator = words[_column(language)] if words else told["is"]
    name = "missing" if told.get("actual") is None else "row"
    expected = "" if told.get("expected") is None else say_value(told["expected"], language)
    actual = say_value(told.get("actual"), language)
    row = say(name, language, field=told["field"], operator=operator, expected=expected, actual=actual)
    return row.replace("  ", " ").replace(" ;", ";")


def say_value(value: Any, language: str = "en") -> str:
    """Return a value as people write it."""
    if isinstance(value, Mapping) and set(value) >= {"amount", "currency"}:
        return f"{value['amount']} {value['currency']}"
    if isinstance(value, Mapping):
        return str(value.get("field", dict(value)))
    if isinstance(value, (list, tuple)):
        return ", ".join(say_value(item, language) for item in value[:10]) + (", …" if len(value) > 10 else "")
    if isinstance(value, str):
        try:
            return period_words(parse_duration(value), language)
        except InvalidInput:
            return value
    return str(value)


def find_culprit(told: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the row that decided a verdict of not-true: the first false one, else the first unknown one."""
    rows = list(_rows(told))
    for verdict in (False, None):
        for row, wanted in rows:
            if row["verdict"] is verdict and wanted:
                return row
    return rows[0][0] if rows else None


def _rows(told: Mapping[str, Any], wanted: bool = True) -> list[tuple[Mapping[str, Any], bool]]:
    if "parts" not in told:
        return [(told, wanted)] if "field" in told else []
    inside = wanted if told["group"] != "none" else not wanted
    return [found for part in told["parts"] for found in _rows(part, inside)]
