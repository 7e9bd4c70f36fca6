"""The exceptions that selfalign raises on purpose: each message is written for the user, one line long."""


class SelfalignError(Exception):
    """Something the user can act on. The message names the thing and the way out."""


class ConfigError(SelfalignError):
    """A value in the config is missing, unknown or of the wrong kind."""


class InputError(SelfalignError):
    """A file or dataset from outside is missing or not what it should be."""


class EngineError(SelfalignError):
    """A generation engine cannot do its work (no model, no server, out of memory)."""


class SandboxError(SelfalignError):
    """This machine cannot isolate programs in the way that the config asks for."""


class TrainingError(SelfalignError):
    """A training that cannot begin or go on."""


class CacheError(SelfalignError):
    """A cache that cannot be read or written."""
