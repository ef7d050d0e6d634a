"""Every error Vitrin raises on purpose.

VitrinError
├── UserError            shown to the person or caller who asked (HTTP 400)
│   ├── InvalidInput     one named field is wrong (HTTP 422)
│   ├── NotFound         (404)
│   ├── NotAllowed       (403)
│   ├── Conflict         somebody else changed it, or it exists already (409)
│   │   └── Overtaken    another process did so at this very moment: the same work may succeed when it is done again
│   └── Busy             a queue is full; try again after some seconds (429)
├── StorageError         the database refused: full, locked, unreachable, newer than this program
├── PluginError          a plugin broke its contract
├── RemoteError          an outside system
│   ├── TemporaryError   will be tried again, after `after_s` seconds where the other side said so
│   │   └── UnclearError no answer came: it may have been done all the same
│   ├── RejectedError    final: trying again would fail the same way
│   └── SignInError      the connection needs a person to sign in again
└── RuleError            a rule document is wrong, at `path`
"""


class VitrinError(Exception):
    """Root of the tree; `code` is stable and goes to API clients."""

    code = "error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UserError(VitrinError):
    """A mistake that the person who asked can mend; the message is shown to them."""

    code = "bad_request"


class InvalidInput(UserError):
    """One value is wrong; `path` names it (`settings.api_key`, `lines[2].price`)."""

    code = "invalid_input"

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.reason = message


class NotFound(UserError):
    """What was named does not exist."""

    code = "not_found"


class NotAllowed(UserError):
    """The caller is known and may not do this."""

    code = "not_allowed"


class Conflict(UserError):
    """The thing changed meanwhile, or exists already."""

    code = "conflict"


class Overtaken(Conflict):
    """Another process wrote the same at this very moment; the same work may succeed when it is done again."""


class Busy(UserError):
    """A bounded queue is full; ask again after `after_s` seconds."""

    code = "busy"

    def __init__(self, message: str, after_s: float = 1.0) -> None:
        super().__init__(message)
        self.after_s = after_s


class StorageError(VitrinError):
    """The database refused; the message says what to do."""

    code = "storage"


class PluginError(VitrinError):
    """A plugin raised, hung or answered something its contract does not allow."""

    code = "plugin"

    def __init__(self, plugin: str, message: str) -> None:
        super().__init__(f"plugin {plugin}: {message}")
        self.plugin = plugin


class RemoteError(VitrinError):
    """An outside system failed; `plugin` says whose connection it was."""

    code = "remote"

    def __init__(self, plugin: str, message: str) -> None:
        super().__init__(f"{plugin}: {message}" if plugin else message)
        self.plugin = plugin


class TemporaryError(RemoteError):
    """Worth another try; `after_s` is the other side's own wish (Retry-After), if it had one."""

    code = "temporary"

    def __init__(self, plugin: str, message: str, after_s: float | None = None) -> None:
        super().__init__(plugin, message)
        self.after_s = after_s


class UnclearError(TemporaryError):
    """It left and no answer came, so it may have been done; another try may be a second one."""


class RejectedError(RemoteError):
    """Final: the same request would be refused again."""

    code = "rejected"


class SignInError(RemoteError):
    """The stored credentials no longer work; a person must sign in again."""

    code = "sign_in"


class RuleError(VitrinError):
    """A rule document is wrong at `path` (`if.all[1].value`)."""

    code = "rule"

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.reason = message
