"""The evidence page for people: one HTML file in one language, no script, nothing loaded from anywhere, fit for paper (E1).

Colour never speaks alone: every result has a sign and a word. Typography follows W3C's Requirements for Chinese Text Layout: Latin
system fonts first, then Han fonts by platform, no italics, tabular figures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from export_gate.page import Cost, Page
from export_gate.page_product import clean, picture, product_html, rows_html
from lineage.errors import Param
from lineage.picture import svg
from sandbox.messages import Language, text


_STYLE = """
:root { color-scheme: light; --ink: #14202b; --quiet: #55626e; --line: #d5dde4; --soft: #f4f7f9; --blue: #0b5cad;
  --good: #14653a; --warn: #8a5a00; --bad: #a3221c; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 64rem; padding: 2rem 1.5rem 4rem; color: var(--ink); background: #fff;
  font: 15px/1.65 system-ui, "Segoe UI", Roboto, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif;
  text-autospace: normal; overflow-wrap: anywhere; }
header { border-bottom: 2px solid var(--blue); padding-bottom: 1rem; }
h1 { font-size: 1.6rem; line-height: 1.3; margin: .2rem 0 .8rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; padding-left: .6rem; border-left: 4px solid var(--blue); }
h3 { font-size: 1rem; margin: 1rem 0 .2rem; }
.quiet, figcaption, summary { color: var(--quiet); font-size: .9rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: .4rem 1.5rem; margin: 0; }
.facts dt, dl dt { color: var(--quiet); font-size: .85rem; }
.facts dd { margin: 0; }
dl { margin: .2rem 0; }
dd dl, dd ol { margin-left: 0; }
dl dd { margin: 0 0 .3rem 1rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; margin: .4rem 0 .8rem; }
table.data { width: auto; min-width: 24rem; }
th { overflow-wrap: normal; text-align: left; color: var(--quiet); font-weight: 600; border-bottom: 1px solid var(--quiet); }
th, td { padding: .3rem .6rem .3rem 0; vertical-align: top; }
td { border-bottom: 1px solid var(--line); }
.n { text-align: right; font-variant-numeric: tabular-nums; padding-right: 1.2rem; }
.sign { white-space: nowrap; font-weight: 600; }
.good { color: var(--good); } .warn { color: var(--warn); } .bad { color: var(--bad); } .none { color: var(--quiet); }
.verdict { font-size: 1.2rem; font-weight: 600; margin: .2rem 0; }
.late { color: var(--bad); font-weight: 600; }
code, pre { font: .85rem/1.5 ui-monospace, "Cascadia Mono", Menlo, "Noto Sans Mono CJK SC", monospace; }
pre { background: var(--soft); padding: .7rem .9rem; white-space: pre-wrap; margin: .4rem 0; }
.bar { display: inline-block; width: 7rem; height: .65rem; background: var(--line); vertical-align: middle; margin-right: .5rem; }
.bar i { display: block; height: 100%; background: var(--blue); }
img { max-width: 100%; } figure { margin: .6rem 0; }
iframe { width: 100%; height: 36rem; border: 1px solid var(--line); }
.small { font-size: .8rem; color: var(--quiet); }
@page { size: A4; margin: 16mm 14mm; }
@media print { body { padding: 0; max-width: none; font-size: 10.5pt; } h2 { break-after: avoid; }
  tr, figure { break-inside: avoid; } thead { display: table-header-group; } .bar i, .bar { print-color-adjust: exact; } }
"""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"

_LANGUAGES: Mapping[Language, str] = {Language.ZH: "zh-CN", Language.EN: "en"}

_SIGNS: Mapping[str, tuple[str, str]] = {
    "no attack succeeded": ("✓", "good"),
    "review": ("!", "warn"),
    "block": ("✕", "bad"),
    "cannot check": ("?", "bad"),
}
"""A sign and a class by verdict; an unknown verdict is an error (law 7)."""


@dataclass(frozen=True)
class Say:
    """Says a message in one language: escaped for the page, or plain for what escapes it later."""

    language: Language

    def __call__(self, code: str, /, **params: Param) -> str:
        """Give a message as text of the page."""
        return escape(self.plain(code, **params))

    def plain(self, code: str, /, **params: Param) -> str:
        """Give a message as it is."""
        return text(code, self.language, **params)


def render(page: Page, language: Language) -> str:
    """Write the page in one language."""
    say = Say(language)
    sections = (
        _section(say("page.leaves"), product_html(page.files, language)),
        _section(say("page.checks"), _checks(page, say)),
        _section(say("page.told"), _told(page, say)),
        _section(say("page.costs"), _costs(page, say)),
        _section(say("page.origins"), _origins(page, say)),
        _section(say("page.votes"), _votes(page, say)),
        _section(say("page.bound"), _bound(page, say)),
    )
    return (
        f'<!DOCTYPE html>\n<html lang="{_LANGUAGES[language]}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{say('page.title')} · {clean(page.export.id)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"{_header(page, say)}\n{''.join(sections)}</body>\n</html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n{body}\n</section>\n"


def _header(page: Page, say: Say) -> str:
    facts = {
        "page.tenant": clean(page.tenant.title),
        "page.scenario": clean(page.scenario.name),
        "page.purpose": clean(page.scenario.purpose),
        "page.kind": say(f"label.product.{page.export.kind}"),
        "page.trust": say(f"label.trust.{page.evidence['label']}"),
        "page.asked-by": clean(page.names.get(page.requested_by)),
        "page.state": say(f"label.export.{page.export.state}"),
    }
    listed = "".join(f"<div><dt>{say(code)}</dt><dd>{value}</dd></div>" for code, value in facts.items())
    sign, kind = _SIGNS[page.evidence["verdict"]]
    verdict = say(f"label.verdict.{page.evidence['verdict'].replace(' ', '-')}")
    decide = f"shuzha export approve {page.export.id} --digest {page.export.evidence_digest} --reason …"
    return (
        f'<header>\n<p class="quiet">{say("page.title")} · {say("page.made-at", domain=page.domain, at=_minute(page.at))}</p>\n'
        f"<h1>{clean(page.export.product)} <code>{clean(page.export.id)}</code></h1>\n"
        f'<dl class="facts">{listed}</dl>\n{_due(page, say)}</header>\n'
        f'<section>\n<h2>{say("page.conclusion")}</h2>\n<p class="verdict {kind}">{sign} {verdict}</p>\n'
        f'<p class="quiet">{say("page.not-safe")}</p>\n<p>{say("page.decide")}</p>\n<pre>{clean(decide)}</pre>\n</section>'
    )


def _due(page: Page, say: Say) -> str:
    stands = page.standing
    if stands.due is None:
        return ""
    told: dict[str, Param] = {"owner": f"label.owner.{stands.owner}", "due": _minute(stands.due)}
    return (
        f'<p class="late">{say("page.late", **told)}</p>'
        if stands.late
        else f'<p class="quiet">{say("page.due", **told)}</p>'
    )


def _checks(page: Page, say: Say) -> str:
    rows = []
    for one in page.findings:
        sign, kind = _SIGNS[one["verdict"]]
        word = say(f"label.verdict.{one['verdict'].replace(' ', '-')}")
        said = say(one["reason"], **one["params"])
        rows.append(
            f'<tr><td class="sign {kind}">{sign} {word}</td>'
            f'<td>{said}<div class="small"><code>{clean(one["check"])} v{one["version"]}</code></div></td>'
            f'<td class="small">{_parameters(one["parameters"])}</td></tr>'
        )
    rows += [
        f'<tr><td class="sign none">– {say("page.not-applicable")}</td>'
        f'<td class="quiet">{say(f"page.na-{family}")}<div class="small"><code>{family}</code></div></td><td></td></tr>'
        for family in page.not_applicable
    ]
    head = "".join(f"<th>{say(code)}</th>" for code in ("page.result", "page.said", "page.parameters"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{''.join(rows)}\n</tbody></table>"


def _parameters(values: Mapping[str, Any]) -> str:
    return "<br>".join(f"{clean(name)} = {clean(value)}" for name, value in values.items())


def _told(page: Page, say: Say) -> str:
    if not page.told:
        return f"<p>{say('page.told-none')}</p>"
    columns = (
        "page.subjects",
        "page.own-tables",
        "page.other-tables",
        "page.own-statistics",
        "page.other-statistics",
    )
    rows = [
        (
            say.plain(f"label.subject-kind.{one.universe}"),
            one.tables["own"],
            one.tables["others"],
            one.statistics["own"],
            one.statistics["others"],
        )
        for one in page.told
    ]
    return f'<p class="quiet">{say("page.told-why")}</p>' + _table(columns, rows, say, range(1, 5))


def _costs(page: Page, say: Say) -> str:
    columns = ("page.ledger", "page.limit", "page.before", "page.here", "page.after", "page.cap", "page.used")
    head = "".join(f"<th>{say(code)}</th>" for code in columns)
    rows = "".join(_cost(one, say) for one in page.costs)
    note = f'<p class="quiet">{say("page.epsilon-note")}</p>'
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{note}"


def _cost(one: Cost, say: Say) -> str:
    def epsilon(value: str) -> str:
        return f'<div class="small">{say("page.epsilon", epsilon=value)}</div>' if value else ""

    width = min(max(one.share, 0), 100)
    return (
        f"<tr><td>{say(f'page.ledger-{one.ledger}')}</td><td>{say(f'label.limit.{one.limit}')}</td>"
        f"<td>{clean(one.before)}{epsilon(one.epsilon_before)}</td><td>{clean(one.here)}</td>"
        f"<td>{clean(one.after)}{epsilon(one.epsilon_after)}</td><td>{clean(one.cap)}</td>"
        f'<td class="sign"><span class="bar"><i style="width:{width}%"></i></span>{one.share} %</td></tr>'
    )


def _origins(page: Page, say: Say) -> str:
    rows = [(one["dataset"], one["version"], one["as_of"]) for one in page.evidence["sources"]]
    drawn = picture(svg(page.lineage, say.plain).encode(), "image/svg+xml", say.plain("page.origins"))
    return _table(("page.dataset", "page.version", "page.as-of"), rows, say) + f"<figure>{drawn}</figure>"


def _votes(page: Page, say: Say) -> str:
    votes = [
        (
            say.plain("page.round", round=one.round),
            say.plain(f"label.decision.{one.decision}"),
            page.names.get(one.person),
            one.reason,
            _minute(one.at),
        )
        for one in page.votes
    ]
    notes = [
        (
            say.plain(f"label.note.{one.kind}"),
            say.plain("page.private" if one.private else "page.public"),
            page.names.get(one.person),
            one.text,
            _minute(one.at),
        )
        for one in page.notes
    ]
    columns = ("page.what", "page.result", "page.person", "page.said", "page.time")
    shown = rows_html([say.plain(code) for code in columns], votes + notes)
    silent = "" if votes else f'<p class="quiet">{say("page.votes-none")}</p>'
    return silent + (shown if votes or notes else "")


def _minute(at: str) -> str:
    """Give a stored instant as people read it, to the minute."""
    return f"{at[:16].replace('T', ' ')} UTC"


def _bound(page: Page, say: Say) -> str:
    files = [(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in page.files.items()]
    return (
        f"<p>{say('page.evidence-digest')}<br><code>{clean(page.export.evidence_digest)}</code></p>"
        f"<p>{say('page.job-digest')}<br><code>{clean(page.job.digest)}</code></p>"
        f"<h3>{say('page.files')}</h3>"
        + rows_html([say.plain("page.file"), say.plain("page.bytes"), "SHA-256"], files, [1])
    )


def _table(codes: Sequence[str], rows: Sequence[Sequence[object]], say: Say, numbers: Sequence[int] = ()) -> str:
    return rows_html([say.plain(code) for code in codes], rows, numbers)
