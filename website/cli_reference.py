"""The reference of the command line, out of the application itself."""

from __future__ import annotations

from typing import Any

HEAD = """# Command line

Made from the application when this site was built. `renalmap COMMAND --help` prints the same.
"""


def cli_reference(command: Any, name: str = "renalmap") -> str:
    """Markdown of a command and all below it.

    Args:
        command: what `typer.main.get_command` makes of an application.
        name: what the user types.
    """
    return HEAD + "".join(_sections(command, name, None))


def commands_of(command: Any, name: str = "renalmap") -> dict[str, Any]:
    """Every command that does something, by what the user types."""
    below = getattr(command, "commands", None)
    if below is None:
        return {name: command}
    found: dict[str, Any] = {}
    for word, each in sorted(below.items()):
        if not each.hidden:
            found |= commands_of(each, f"{name} {word}")
    return found


def _sections(command: Any, name: str, parent: Any) -> list[str]:
    context = command.context_class(command, info_name=name, parent=parent)
    sections = [f"\n## {name}\n\n{_paragraphs(command.help or '')}\n"]
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    sections.append(f"\n```text\n{usage}\n```\n")
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    rows = [record for record in records if record is not None]
    if rows:
        sections.append("\n| argument or option | meaning |\n|---|---|\n")
        sections += [f"| `{_line(option)}` | {_text(_cell(meaning))} |\n" for option, meaning in rows]
    for word, below in sorted(getattr(command, "commands", {}).items()):
        if not below.hidden:
            sections += _sections(below, f"{name} {word}", context)
    return sections


def _paragraphs(text: str) -> str:
    paragraphs = [" ".join(each.split()) for each in text.split("\n\n")]
    return "\n\n".join(_text(each) for each in paragraphs)


def _line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|")


def _text(text: str) -> str:
    """Plain text as Markdown: option names in code, nothing else has a meaning."""
    escaped = text.replace("*", "\\*").replace("_", "\\_").replace("<", "&lt;").replace("[", "\\[")
    words = (
        f"`{word.rstrip('.,;:)')}`{word[len(word.rstrip('.,;:)')) :]}" if word.startswith("--") else word
        for word in escaped.split(" ")
    )
    return " ".join(words)
