"""Passwords: hashed with argon2 at today's cost, refused where they are among the first that are guessed."""

import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from core.errors import InvalidInput

SHORTEST, LONGEST = 8, 128

#: The commonest of at least eight characters in published leaks; compared without case.
_COMMON = frozenset(
    """
    12345678 123456789 1234567890 123123123 11111111 111111111 1111111111 00000000 000000000 88888888 99999999
    66666666 87654321 987654321 0987654321 12341234 11223344 112233445566 123321123 147258369 123654789
    789456123 159357456 12344321 01234567 password password1 password12 password123 password1234 passw0rd
    p@ssw0rd p@ssword pa$$word passwort passwort1 qwertyuiop qwertyui qwerty12 qwerty123 qwerty1234 1qaz2wsx
    1q2w3e4r 1q2w3e4r5t q1w2e3r4 q1w2e3r4t5 zaq12wsx qazwsxedc asdfghjkl asdfghjk asdfasdf zxcvbnm1 zxcvbnm123
    qwer1234 asdf1234 abcd1234 abc12345 abcdefgh aa123456 a1234567 a12345678 1234qwer 123qweasd 123456qwerty
    qwerty123456 iloveyou iloveyou1 iloveyou2 princess princess1 sunshine sunshine1 football football1 baseball
    baseball1 basketball superman batman123 starwars trustno1 whatever computer internet michelle jennifer
    jordan23 liverpool chelsea1 arsenal1 michael1 charlie1 danielle samantha victoria alexander alexandra
    dragon123 monkey123 master123 shadow123 killer123 welcome1 welcome123 letmein1 letmein123 admin123 admin1234
    administrator adminadmin changeme changeme1 default1 secret123 test1234 testtest guest123 login123 root1234
    user1234 manager1 supervisor temp1234 demo1234 vitrin123 vitrin12 fenerbahce galatasaray besiktas
    trabzonspor istanbul istanbul34 türkiye1 turkiye1 ankara06 sifre123 şifre123 parola123 qwerty61 йцукенгш
    йцукен123 пароль123 password! password1! welcome1! qwerty1! summer2024 summer2025 summer2026 winter2024
    winter2025 winter2026 spring2025 autumn2025 google123 samsung1 samsung123 iphone12 pokemon1 minecraft
    nintendo
    """.split()
)


class Passwords:
    """Hashes and verifies; takes the same time whether there is a hash to compare with or not."""

    def __init__(self, hasher: PasswordHasher | None = None, *, at_once: int = 2) -> None:
        self._hasher = hasher or PasswordHasher()
        # A hash takes 64 MiB: a flood of logins must not take the machine's memory.
        self._turn = threading.BoundedSemaphore(at_once)
        self._nobody = self._hasher.hash("a password that nobody has")

    def hash(self, password: str, *, email: str) -> str:
        """Return the hash of a new password; raise InvalidInput where it is too short, too long or easy to guess."""
        plain = _normal(password)
        if plain is None or not SHORTEST <= len(plain) <= LONGEST:
            raise InvalidInput("password", f"must have {SHORTEST} to {LONGEST} characters")
        folded = plain.casefold()
        if folded in _COMMON or len(set(folded)) < 3:
            raise InvalidInput("password", "is among the first that are guessed: choose another, such as four words")
        if folded in (email.casefold(), email.casefold().partition("@")[0]):
            raise InvalidInput("password", "is your e-mail address: choose another, such as four words")
        with self._turn:
            return self._hasher.hash(plain)

    def verify(self, hashed: str | None, password: str) -> bool:
        """Say whether the password fits; without a hash work as long and say no."""
        plain = _normal(password)
        fits = plain is not None and len(plain) <= LONGEST
        with self._turn:
            try:
                self._hasher.verify(hashed or self._nobody, plain if plain is not None and fits else "")
            except (VerificationError, InvalidHashError):
                return False
        return fits and hashed is not None

    def is_outdated(self, hashed: str) -> bool:
        """Say whether a hash was made at a lower cost than today's."""
        return self._hasher.check_needs_rehash(hashed)

    def renew(self, password: str) -> str:
        """Hash a password again that was accepted already."""
        with self._turn:
            return self._hasher.hash(_normal(password) or "")


def _normal(password: str) -> str | None:
    """Return one form for what keyboards write differently; None for what is no text or far too long."""
    if len(password) > 4 * LONGEST:
        return None
    plain = unicodedata.normalize("NFKC", password)
    try:
        plain.encode()
    except UnicodeEncodeError:
        return None
    return plain
