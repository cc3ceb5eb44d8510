"""The page's template, style sheet and script, as files that editors and browsers understand."""

from importlib.resources import files


def read_asset(name: str) -> str:
    """The text of one of them."""
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
