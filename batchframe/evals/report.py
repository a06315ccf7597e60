"""A comparison to read: plain text, a table for notebooks, and a page in one file that needs no network.

Names and answers come from models and users: everything shown goes through `hostile`.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchframe.errors import FileError, MissingExtraError
from batchframe.evals.figures import count, gain, gain_interval, interval, money, number
from batchframe.evals.standings import p_text
from batchframe.notebook.hostile import clean, escape

if TYPE_CHECKING:
    from batchframe.evals.comparison import Comparison

NAME_LIMIT = 80
TEXT_LIMIT = 400
MOST_ROWS = 20
"""Rows on which entries disagree that a report shows, per scorer."""

STYLE = """
.bf-cmp{font:13px/1.45 var(--jp-ui-font-family,system-ui,-apple-system,"Segoe UI",sans-serif);
  color:var(--jp-content-font-color1,inherit);max-width:100%;overflow-x:auto}
.bf-cmp table.bf-cmp-t{border-collapse:collapse;margin:6px 0;font-size:13px;border:0}
.bf-cmp .bf-cmp-t th,.bf-cmp .bf-cmp-t td{text-align:left;vertical-align:top;padding:7px 14px 7px 0;
  border:0;border-bottom:1px solid color-mix(in srgb,currentColor 16%,transparent);background:none;
  max-width:none}
.bf-cmp .bf-cmp-t thead th{font-weight:600;border-bottom-width:2px;vertical-align:bottom}
.bf-cmp .bf-cmp-t .bf-n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.bf-cmp .bf-cmp-t tbody th{font-weight:600;overflow-wrap:anywhere;min-width:9em;max-width:22em}
.bf-cmp small{display:block;font-size:12px;font-weight:400;
  color:color-mix(in srgb,currentColor 70%,transparent)}
.bf-cmp .bf-score{white-space:nowrap;font-variant-numeric:tabular-nums}
.bf-cmp svg.bf-ci{display:block;margin:3px 0 1px}
.bf-cmp .bf-bad{color:#d0393e}
.bf-cmp ul{margin:6px 0;padding-left:1.3em}
.bf-cmp .bf-gone{color:color-mix(in srgb,currentColor 60%,transparent);font-style:italic}
"""

PAGE_STYLE = """
:root{color-scheme:light}
body{margin:0 auto;padding:32px 28px 64px;max-width:1180px;background:#fff;color:#222;
  font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
h1{font-size:24px;margin:0 0 4px}h2{font-size:18px;margin:36px 0 8px}
.bf-cmp-chart svg{max-width:100%;height:auto}
.bf-cmp .bf-cmp-t td.bf-text{white-space:pre-wrap;overflow-wrap:anywhere;min-width:9em;max-width:26em}
"""

TONES = {"leader": "#0072B2", "tied": "#C77700", "worse": "#757575", "unmeasured": "#757575"}


def plain(comparison: Comparison) -> str:
    """Give a comparison as text for a terminal.

    Args:
        comparison: What to show.
    """
    lines = [_headline(comparison)]
    for line in comparison.leaderboard.iter_rows(named=True):
        name = clean(line["entry"], NAME_LIMIT)
        if line["note"] is not None:
            lines.append(f"  {name}: not measured. {clean(line['note'], TEXT_LIMIT)}")
            continue
        said = [_score_text(comparison, scorer, line) for scorer in comparison.scorers]
        failed = f", {count(line['failed'])} failed" if line["failed"] else ""
        price = money(line["cost_per_1k_rows"])
        lines.append(f"  {name}: {'; '.join(said)}{failed}; per 1,000 rows: {price}")
    lines += [f"  Note: {clean(note, TEXT_LIMIT)}" for note in comparison.notes]
    lines += [f"  {clean(text, TEXT_LIMIT)}" for text in _scorer_errors(comparison)]
    return "\n".join(lines)


def _score_text(comparison: Comparison, scorer: str, line: Mapping[str, Any]) -> str:
    share = _is_share(comparison, scorer)
    around = interval(line[f"{scorer}_low"], line[f"{scorer}_high"], proportion=share)
    told = f"{clean(scorer, NAME_LIMIT)} {number(line[scorer], proportion=share)}"
    return f"{told}{f' ({around})' if around else ''}, {line[f'{scorer}_verdict']}"


def _headline(comparison: Comparison) -> str:
    entries, rows = len(comparison.outcomes), comparison.frame.height
    noun = "entry" if entries == 1 else "entries"
    return (
        f"{entries} {noun} on {rows:,} {'row' if rows == 1 else 'rows'}; "
        f"intervals at {comparison.settings.percent}"
    )


def _is_share(comparison: Comparison, scorer: str) -> bool:
    return next(scores.proportion for scores in comparison.scores if scores.scorer == scorer)


def _scorer_errors(comparison: Comparison) -> list[str]:
    """Say which scorers raised on which entries."""
    return [
        f"The scorer {scores.scorer!r} failed on {entry!r}: {text}"
        for scores in comparison.scores
        for entry, text in scores.errors.items()
    ]


def fragment(comparison: Comparison) -> str:
    """Give the leaderboard as HTML for a notebook's cell.

    Args:
        comparison: What to show.
    """
    gap = "the leader" if comparison.settings.baseline is None else "the baseline"
    heads = "".join(
        f'<th scope="col">{escape(scorer, NAME_LIMIT)}</th><th scope="col">against {gap}</th>'
        for scorer in comparison.scorers
    )
    numbers = ("rows", "failed", "per 1,000 rows", "cost", "tokens in", "tokens out")
    heads += "".join(f'<th scope="col" class="bf-n">{name}</th>' for name in numbers)
    lines = "".join(
        _line(comparison, line) for line in comparison.leaderboard.iter_rows(named=True)
    )
    notes = [*comparison.notes, *_scorer_errors(comparison), _method(comparison)]
    items = "".join(f"<li>{escape(note, TEXT_LIMIT)}</li>" for note in notes)
    return (
        f'<div class="bf-cmp"><style>{STYLE}</style><div>{escape(_headline(comparison), TEXT_LIMIT)}</div>'
        f'<table class="bf-cmp-t"><thead><tr><th scope="col">entry</th>{heads}</tr></thead>'
        f"<tbody>{lines}</tbody></table><ul>{items}</ul></div>"
    )


def _line(comparison: Comparison, line: Mapping[str, Any]) -> str:
    """Give one entry's row of the table."""
    note = line["note"]
    why = "" if note is None else f'<small class="bf-bad">{escape(note, TEXT_LIMIT)}</small>'
    base = "<small>baseline</small>" if line["entry"] == comparison.settings.baseline else ""
    cells = "".join(_score_cells(comparison, scorer, line) for scorer in comparison.scorers)
    failed = count(line["failed"])
    failed = f'<span class="bf-bad">{failed}</span>' if line["failed"] else failed
    figures = (
        count(line["rows"]), failed, money(line["cost_per_1k_rows"]), money(line["cost_usd"]),
        count(line["input_tokens"]), count(line["output_tokens"]),
    )  # fmt: skip
    cells += "".join(f'<td class="bf-n">{figure}</td>' for figure in figures)
    return f'<tr><th scope="row">{escape(line["entry"], NAME_LIMIT)}{base}{why}</th>{cells}</tr>'


def _score_cells(comparison: Comparison, scorer: str, line: Mapping[str, Any]) -> str:
    """Give a score with its interval as figures and as a drawing, and its gap to the reference."""
    standing = comparison.standings[scorer][line["entry"]]
    if standing.estimate.mean is None:
        return '<td class="bf-gone">not measured</td><td></td>'
    share = _is_share(comparison, scorer)
    mean, gap = standing.estimate, standing.gap
    around = interval(mean.low, mean.high, proportion=share)
    score = (
        f'<td class="bf-score">{number(mean.mean, proportion=share)}{_drawing(comparison, scorer, line)}'
        f"<small>{around}{' · ' if around else ''}{count(mean.n)} scored</small></td>"
    )
    verdict = f"<small>{escape(line[f'{scorer}_verdict'], NAME_LIMIT)}</small>"
    if gap is None or gap.mean is None:
        return f"{score}<td>{verdict}</td>"
    told = gain(gap.mean, proportion=share)
    around = gain_interval(gap.low, gap.high, proportion=share)
    p = "" if standing.p is None else p_text(standing.p).replace("<", "&lt;")
    small = " · ".join(part for part in (around, p) if part)
    return f'{score}<td><span class="bf-score">{told}<small>{small}</small></span>{verdict}</td>'


def _drawing(comparison: Comparison, scorer: str, line: Mapping[str, Any]) -> str:
    """Draw the interval on an axis that all entries share."""
    standings = comparison.standings[scorer]
    ends = [
        end
        for its in standings.values()
        for end in (its.estimate.low, its.estimate.high, its.estimate.mean)
        if end is not None
    ]
    least, most = (0.0, 1.0) if _is_share(comparison, scorer) else (min(ends), max(ends))
    if most <= least:
        return ""
    its = standings[line["entry"]]

    def at(score: float | None) -> float:
        assert its.estimate.mean is not None
        value = its.estimate.mean if score is None else score
        return round(6 + (value - least) / (most - least) * 128, 1)

    tone, mean = TONES[its.verdict], its.estimate
    return (
        '<svg class="bf-ci" width="140" height="12" aria-hidden="true">'
        '<line x1="6" y1="6" x2="134" y2="6" stroke="currentColor" stroke-opacity=".18"/>'
        f'<line x1="{at(mean.low)}" y1="6" x2="{at(mean.high)}" y2="6" stroke="{tone}" '
        f'stroke-opacity=".6" stroke-width="3"/><circle cx="{at(mean.mean)}" cy="6" r="4" fill="{tone}"/></svg>'
    )


def _method(comparison: Comparison) -> str:
    """Say in one sentence how p-values were come by."""
    pairs = "all pairs of entries, as the leader is picked from the same rows"
    if comparison.settings.baseline is not None:
        pairs = "the entries compared with the baseline; verdicts on the leader over all pairs"
    return (
        "Entries answer the same rows, so gaps are paired; gap intervals stand alone, p-values are "
        f"corrected (Holm) over {pairs}, per scorer."
    )


def write(comparison: Comparison, path: Path) -> Path:
    """Write a comparison as one HTML page.

    Args:
        comparison: What to write.
        path: The file.

    Returns:
        The path.

    Raises:
        FileError: The file cannot be written.
    """
    body = [f"<h1>Comparison</h1>{fragment(comparison)}"]
    for scorer in comparison.scorers:
        body.append(f"<h2>{escape(scorer, NAME_LIMIT)}</h2>{_picture(comparison, scorer)}")
        body.append(_divided(comparison, scorer))
    body.append(_jobs(comparison))
    page = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Comparison</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; img-src data:\">"
        f"<style>{PAGE_STYLE}</style></head><body>{''.join(body)}</body></html>"
    )
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise FileError(
            f"The report cannot be written to {str(path)!r}: {error.strerror}. "
            'Type a path in a folder that exists: comparison.save("report.html")'
        ) from error
    return path


def _picture(comparison: Comparison, scorer: str) -> str:
    """Give a chart as SVG in place, or say what is missing; the table stands without it."""
    try:
        import vl_convert  # noqa: F401, PLC0415 - what altair draws into files with, 30 MB

        chart = comparison.plot(scorer)
    except MissingExtraError as error:
        return f"<p>No chart: {escape(error, TEXT_LIMIT)}</p>"
    except ImportError:
        return "<p>No chart: drawing one into a file needs vl-convert. Type: pip install vl-convert-python</p>"
    drawing = StringIO()
    chart.save(drawing, format="svg")
    return f'<div class="bf-cmp-chart">{drawing.getvalue()}</div>'


def _divided(comparison: Comparison, scorer: str) -> str:
    """Give the rows on which entries differ most, with every answer."""
    table = comparison.disagreements(scorer)
    if table.is_empty():
        return "<p>No row on which the entries differ.</p>"
    shown = table.head(MOST_ROWS)
    heads = "".join(f'<th scope="col">{escape(name, NAME_LIMIT)}</th>' for name in shown.columns)
    rows = ("".join(map(_cell, row)) for row in shown.iter_rows())
    lines = "".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f"<details><summary>{len(table):,} rows on which entries differ; "
        f"the {len(shown)} most divided</summary>"
        f'<div class="bf-cmp"><table class="bf-cmp-t"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div></details>"
    )


def _cell(value: object) -> str:
    if value is None:
        return '<td class="bf-gone">null</td>'
    return f'<td class="bf-text">{escape(value, TEXT_LIMIT, lines=True)}</td>'


def _jobs(comparison: Comparison) -> str:
    """Name the jobs, by which everything is found again."""
    items = "".join(
        f"<li>{escape(name, NAME_LIMIT)}: <code>{escape(job.id, NAME_LIMIT)}</code></li>"
        for name, job in comparison.jobs.items()
    )
    return f"<h2>Jobs</h2><ul>{items}</ul>"
