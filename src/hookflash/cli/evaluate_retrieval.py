"""`hookflash eval retrieval`: how well search finds the right documents of a test set."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.text import Text

from hookflash.base.clock import SystemClock
from hookflash.base.errors import Invalid, NotFound
from hookflash.cli import screen
from hookflash.cli.opening import read_settings, run
from hookflash.insight.retrieval_metrics import MEASURES, Measured, worse
from hookflash.insight.retrieval_trial import RetrievalReport, RetrievalSet, read_set, try_out
from hookflash.providers.registry import Providers
from hookflash.settings import Settings


def retrieval(
    dataset: Annotated[
        Path, typer.Argument(help="JSON Lines of documents and questions, or a directory with files of them.")
    ],
    embedder: Annotated[str | None, typer.Option(help="The embedding model, instead of the server's.")] = None,
    least: Annotated[
        float | None, typer.Option("--check", min=0.0, max=1.0, help="End with 1 when recall@10 is below this.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Search a test set by words alone (BM25), by meaning alone, and by both as the assistant does; compare them.

    A line of the set is {"id", "title", "text"} or {"query", "relevant": ["id"]} (no ids: the documents do not answer it).
    Each figure comes with its 95 % interval. With --check it also ends with 1 when a half alone is better than both, by
    more than chance. With HOOKFLASH_RERANKER, `reranked` is what both find after it was put into order. Nothing is stored.
    """
    report = run(_try_out, read_settings(), _read(dataset), embedder)
    if as_json:
        screen.as_json(msgspec.to_builtins(report))
    else:
        _show(report)
    if least is None:
        return
    recall = report.results["both"]["recall@10"].mean
    wrong = [f"recall@10 is {recall}, below {least}"] if recall < least else []
    wrong += worse({half: report.both_to[half] for half in ("bm25", "dense")})
    for sentence in wrong:
        screen.fail(sentence)
    if wrong:
        raise typer.Exit(1)


def _read(dataset: Path) -> RetrievalSet:
    if dataset.is_dir():
        files = sorted(dataset.glob("*.jsonl"))
        if not files:
            raise Invalid(f"The directory {dataset} holds no .jsonl files.")
    elif dataset.exists():
        files = [dataset]
    else:
        raise NotFound(f"There is no file or directory {dataset}.")
    return read_set(b"\n".join(path.read_bytes() for path in files))


async def _try_out(settings: Settings, retrieval_set: RetrievalSet, embedder: str | None) -> RetrievalReport:
    providers = Providers(settings.provider_options, clock=SystemClock(), data_dir=settings.data_dir)
    try:
        with screen.progress(of="passages") as bar:
            task = bar.add_task("Embedding", total=None, note="")
            return await try_out(
                retrieval_set,
                providers.embedder(embedder or settings.embedder),
                lambda done, of: bar.update(task, completed=done, total=of),
                providers.reranker(settings.reranker) if settings.reranker else None,
            )
    finally:
        await providers.aclose()


def _show(report: RetrievalReport) -> None:
    screen.out().print(
        f"{report.documents} documents, {report.chunks} passages, {report.queries} questions; "
        f"indexed in {report.index_seconds} s, {report.query_ms} ms a question"
        + (f", {report.rerank_ms} ms to re-rank" if report.rerank_ms is not None else "")
    )
    grid = screen.rows("", *report.results, *(f"both - {half}" for half in report.both_to))
    for name in MEASURES:
        plain = [_cell(measured[name]) for measured in report.results.values()]
        grid.add_row(name, *plain, *(_cell(measured[name], signed=True) for measured in report.both_to.values()))
    screen.out().print(grid)
    share, right = report.certain["share"], report.certain["right"]
    screen.out().print(
        f"search alone is certain for {share:.1%} of the answerable questions, and right for {right:.1%} of those"
    )
    for name, rate in report.found.items():
        screen.out().print(f"something is found for {rate:.1%} of the {name} questions")


def _cell(measured: Measured, *, signed: bool = False) -> Text:
    sign = "+" if signed else ""
    style = "good" if signed and measured.low > 0 else "bad" if signed and measured.high < 0 else ""
    return Text(f"{measured.mean:{sign}.3f}\n{measured.low:{sign}.3f} {measured.high:{sign}.3f}", style)
