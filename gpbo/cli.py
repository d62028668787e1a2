"""A stored study from a shell: ``gpbo create|ask|tell|fail|forget``, and ``gpbo status|best|export|report|plot``."""

import contextlib
import csv
import io
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

try:
    import click
except ModuleNotFoundError:
    sys.stderr.write("gpbo: the command line needs click: pip install 'gpbo[cli]'\n")
    raise SystemExit(2) from None

from gpbo.errors import ArgumentError, FailedTrialWarning, GpboError, NotReadyError
from gpbo.optimizer import Optimizer
from gpbo.parameters import Categorical, Float, Int, Parameter
from gpbo.plot.files import PICTURES, save
from gpbo.space import Space
from gpbo.trials import Trial

_KINDS: dict[str, Callable[..., Parameter]] = {"float": Float, "int": Int, "categorical": Categorical}
_EXAMPLE = '{"lr": {"type": "float", "low": 1e-5, "high": 0.1, "log": true}}'


class _Group(click.Group):
    """Errors of gpbo and of files are lines on standard error, with exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", FailedTrialWarning)
                result = super().invoke(ctx)
        except (GpboError, OSError, UnicodeError) as error:
            message = str(error) if isinstance(error, GpboError) else f"{type(error).__name__}: {error}"
            click.echo(f"gpbo: {message}", err=True)
            ctx.exit(2)
        for warning in caught:
            if issubclass(warning.category, FailedTrialWarning):
                click.echo(f"gpbo: {warning.message}", err=True)
        return result


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gpbo")
def main() -> None:
    """Bayesian optimization on a stored study.

    STORAGE is the path of a file, such as study.db, or a URL postgresql://user@host/database; its password belongs in
    ~/.pgpass or PGPASSWORD, where other users of the machine do not see it.
    """


def _on_study(command: Callable[..., None]) -> Callable[..., None]:
    command = click.option("--study", default="default", show_default=True, help="Name of the study.")(command)
    return click.argument("storage")(command)


def _format(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option("--format", "form", type=click.Choice(names), default=names[0], show_default=True)


@main.command()
@_on_study
@click.option("--space", "space", required=True, help=f"JSON file, or JSON text such as {_EXAMPLE}.")
@click.option("--direction", type=click.Choice(["minimize", "maximize"]), default="minimize", show_default=True)
@click.option("--seed", type=int)
@click.option("--n-initial", type=int, help="Space-filling points before the first of the model's.")
@click.option("--kernel", default="auto", show_default=True)
def create(storage: str, study: str, space: str, direction: str, seed: int, n_initial: int, kernel: str) -> None:
    """Make a study."""
    text = space if space.lstrip().startswith("{") else Path(space).read_text(encoding="utf-8")
    Optimizer(
        _read_space(text), direction, seed, n_initial=n_initial, kernel=kernel, storage=storage, study=study
    ).close()


@main.command()
@_on_study
@click.option("-q", "--number", type=int, default=1, show_default=True, help="Number of points.")
@click.option("--worker", help="Your name; what you were given before and did not tell comes first.")
@_format("json", "csv")
def ask(storage: str, study: str, number: int, worker: str | None, form: str) -> None:
    """Print new points to evaluate, with their ids."""
    batch = Optimizer.open(storage, study, worker=worker).ask(number)
    _print([{"id": trial.id, **_plain(trial.params)} for trial in batch], form, nested=True)


@main.command()
@_on_study
@click.argument("outcome", nargs=-1, metavar="[ID VALUE [NOISE]]")
@click.option("--input", "source", help="CSV or JSON with id, value and, if known, noise; - for standard input.")
def tell(storage: str, study: str, outcome: tuple[str, ...], source: str | None) -> None:
    """Report outcomes; the value nan stands for a failed evaluation."""
    if (source is None) == (not outcome) or len(outcome) not in (0, 2, 3):
        raise click.UsageError("Give ID and VALUE (and NOISE), or --input.")
    if source is None:
        rows: list[Mapping[str, Any]] = [dict(zip(("id", "value", "noise"), outcome, strict=False))]
    else:
        rows = _read_rows(sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8"))
    ids = [_whole(row.get("id")) for row in rows]
    values = [_real("value", row.get("value")) for row in rows]
    deviations = [None if row.get("noise") in (None, "") else _real("noise", row["noise"]) for row in rows]
    known = [deviation for deviation in deviations if deviation is not None]
    if known and len(known) < len(rows):
        raise ArgumentError("noise is given for some rows and missing for others; give it for all or none.")
    Optimizer.open(storage, study).tell(ids, values, noise=known or None)


@main.command()
@_on_study
@click.argument("ids", type=int, nargs=-1, required=True)
@click.option("--reason", default="", help="Why.")
def fail(storage: str, study: str, ids: tuple[int, ...], reason: str) -> None:
    """Report trials that have no outcome; they are not proposed again."""
    Optimizer.open(storage, study).fail(ids, reason)


@main.command()
@_on_study
@click.argument("ids", type=int, nargs=-1, required=True)
def forget(storage: str, study: str, ids: tuple[int, ...]) -> None:
    """Release trials that nobody will evaluate."""
    Optimizer.open(storage, study).forget(ids)


@main.command()
@_on_study
@_format("table", "json")
def status(storage: str, study: str, form: str) -> None:
    """Show how far a study is."""
    opt = Optimizer.open(storage, study)
    states = [trial.state for trial in opt.history]
    try:
        best: Trial | None = opt.best()
    except NotReadyError:
        best = None
    summary = {
        "study": study,
        "direction": opt.direction,
        "complete": states.count("complete"),
        "failed": states.count("failed"),
        "pending": len(opt.pending),
        "best": None if best is None else {"id": best.id, "value": best.value, **_plain(best.params)},
    }
    if form == "json":
        click.echo(json.dumps(summary, indent=2))
        return
    shown = {**summary, "best": "none yet" if best is None else f"{best.value!r} (trial {best.id})"}
    width = max(map(len, shown))
    for name, value in shown.items():
        click.echo(f"{name:{width}}  {value}")
    latest = [*opt.history[-5:], *opt.pending[-5:]]
    if latest:
        click.echo()
        click.echo(_table([_row(trial) for trial in latest]))


@main.command()
@_on_study
@_format("json", "csv")
def best(storage: str, study: str, form: str) -> None:
    """Print the best trial."""
    trial = Optimizer.open(storage, study).best()
    _print([{"id": trial.id, "value": trial.value, **_plain(trial.params)}], form, nested=False)


@main.command()
@_on_study
@_format("csv", "json")
@click.option("--output", help="File to write; standard output if it is left out.")
def export(storage: str, study: str, form: str, output: str | None) -> None:
    """Print all trials."""
    opt = Optimizer.open(storage, study)
    rows = [_row(trial) for trial in sorted([*opt.history, *opt.pending], key=lambda trial: trial.id)]
    head = ["id", *opt.space, "value", "noise", "state", "reason"]
    text = _csv(rows, head) if form == "csv" else json.dumps(rows, indent=2) + "\n"
    if output is None:
        click.echo(text, nl=False)
    else:
        Path(output).write_text(text, encoding="utf-8")


@main.command()
@_on_study
@click.option("-o", "--output", default="report.html", show_default=True, help="File to write.")
@click.option("--title", help="Heading of the page; the name of the study if it is left out.")
def report(storage: str, study: str, output: str, title: str | None) -> None:
    """Write a self-contained HTML page about a study."""
    with _extra("report"):
        path = Optimizer.open(storage, study).report(output, title or f"Study {study}")
    click.echo(path)


@main.command()
@_on_study
@click.argument("picture", type=click.Choice(list(PICTURES)), default="convergence")
@click.option("-p", "--parameter", "names", multiple=True, help="Of posterior and acquisition; twice for surface.")
@click.option("-o", "--output", help="File to write, whose ending sets the format; PICTURE.png if it is left out.")
def plot(storage: str, study: str, picture: str, names: tuple[str, ...], output: str | None) -> None:
    """Draw one of the pictures of a study."""
    with _extra("plot"):
        path = save(Optimizer.open(storage, study), picture, names, output)
    click.echo(path)


@contextlib.contextmanager
def _extra(name: str) -> Iterator[None]:
    """A missing optional package is said in one line."""
    try:
        yield
    except ImportError as error:
        raise ArgumentError(f"{error} This command needs pip install 'gpbo[{name}]'.") from None


def _row(trial: Trial) -> dict[str, Any]:
    outcome = {"value": trial.value, "noise": trial.noise, "state": trial.state, "reason": trial.reason}
    return {"id": trial.id, **_plain(trial.params), **outcome}


def _plain(params: Mapping[str, Any]) -> dict[str, Any]:
    """Tuples as JSON's lists."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in params.items()}


def _print(rows: Sequence[dict[str, Any]], form: str, nested: bool) -> None:
    if form == "csv":
        click.echo(_csv(rows, list(rows[0])), nl=False)
    else:
        click.echo(json.dumps(list(rows) if nested else rows[0]))


def _csv(rows: Iterable[Mapping[str, Any]], head: Sequence[str]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([["" if row[name] is None else row[name] for name in head] for row in rows])
    return file.getvalue()


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    def cell(value: Any) -> str:
        text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
        text = text.strip().rpartition("\n")[2]
        return text if len(text) <= 40 else f"{text[:37]}..."

    lines = [list(rows[0]), *([cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _read_space(text: str) -> Space:
    """A space out of JSON.

    Raises:
        ArgumentError: If it is not of the form of the example.
        SpaceError: If a parameter is invalid.
    """
    content = _json("the space", text)
    if not isinstance(content, dict):
        raise ArgumentError(f"the space must be a JSON object such as {_EXAMPLE}.")
    parameters: dict[str, Parameter] = {}
    for name, fields in content.items():
        fields = dict(fields) if isinstance(fields, dict) else {}
        kind = fields.pop("type", None)
        if kind not in _KINDS:
            raise ArgumentError(f"parameter {name!r} needs a type: float, int or categorical; as in {_EXAMPLE}.")
        if kind == "categorical" and isinstance(fields.get("choices"), list):
            fields["choices"] = [tuple(one) if isinstance(one, list) else one for one in fields["choices"]]
        try:
            parameters[name] = _KINDS[kind](**fields)
        except GpboError:
            raise
        except TypeError as error:
            raise ArgumentError(f"parameter {name!r}: {str(error).partition(') ')[2] or error}.") from None
    return Space(parameters)


def _read_rows(text: str) -> list[Mapping[str, Any]]:
    if text.lstrip()[:1] in ("[", "{"):
        content = _json("the input", text)
        rows = content if isinstance(content, list) else [content]
    else:
        rows = list(csv.DictReader(io.StringIO(text)))
    if not rows or not all(isinstance(row, Mapping) and {"id", "value"} <= row.keys() for row in rows):
        raise ArgumentError("the input must have an id and a value in every row.")
    return rows


def _json(what: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"{what} is no valid JSON: {error}.") from None


def _whole(given: Any) -> int:
    if type(given) is int or (isinstance(given, str) and given.strip().isdecimal()):
        return int(given)
    raise ArgumentError(f"id is {given!r}; it must be a whole number.")


def _real(what: str, given: Any) -> float:
    if isinstance(given, (str, int, float)) and not isinstance(given, bool):
        with contextlib.suppress(ValueError, OverflowError):
            return float(given)
    raise ArgumentError(f"{what} is {given!r}; it must be a number, nan for a failed evaluation.")


if __name__ == "__main__":
    main()
