"""Groups of commands whose help tells the first sentence of each in full; click would cut it off at the edge of the screen."""

import re

import click

_END = re.compile(r"(?<=\.)\s")


class FullSentences(click.Group):
    """A group that says what each of its commands does."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [(name, summary(command)) for name, command in found if command is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def summary(command: click.Command) -> str:
    """The first sentence of its help."""
    return _END.split(" ".join((command.help or "").split()), maxsplit=1)[0]
