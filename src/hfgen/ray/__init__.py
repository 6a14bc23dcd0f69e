"""Bulk generation on a Ray cluster: a Ray dataset in, the same rows with generated texts out.

`generate` needs the extra `hfgen[ray]`. `import hfgen` does not import this package.
"""

try:
    import pyarrow  # noqa: F401, ICN001 - only to check that it is installed
    import ray.data  # noqa: F401 - the same
except ImportError as error:
    raise ImportError(
        f"hfgen.ray needs Ray Data ({error}): pip install 'hfgen[ray]'", name=error.name
    ) from error

from hfgen.ray._generate import generate

__all__ = ["generate"]
