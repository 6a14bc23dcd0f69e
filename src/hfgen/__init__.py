"""Hugging Face text generation for Python: four verbs, sync and async.

`run`, `stream`, `stream_tokens` and `stream_bytes` are static methods of
`HuggingFaceTextGeneration` and `AsyncHuggingFaceTextGeneration`, and methods of `Client` and
`AsyncClient`.
"""

# `typing` takes longer to import than all of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from hfgen._public import *  # noqa: F403 - what is public is decided there
    from hfgen._public import __all__ as __all__
    from hfgen._public import __version__ as __version__
else:

    def __getattr__(name: str) -> object:
        # The first name loads them all. The import system asks for submodules, too.
        if not name.startswith("_") or name in {"__all__", "__version__"}:
            import hfgen._public as public  # noqa: PLC0415

            if name in {"__all__", *public.__all__}:
                value = globals()[name] = getattr(public, name)
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__getattr__("__all__")} - {"TYPE_CHECKING"})
