"""The dashboard in a real Chromium: every view draws, in every size, and nothing that a process says of itself becomes more than text."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from brainkernel.gateway.web.token import Token
from support import dashboard_data
from support.chromium import chromium
from support.web_server import FakeDaemon, FakeSources, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from brainkernel.gateway.web.server import HttpServer
    from support.chromium import Browser, Page

VIEWS = ("performance", "resources", "quality", "trends", "feedback")
DRAWN = "document.querySelectorAll('.u-over').length > 0 && document.querySelectorAll('.tiles li').length > 0"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as made:
        yield made


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with serving(sources=dashboard_data.sources()) as made:
        yield made


@pytest.fixture
def page(browser: Browser) -> Page:
    made = browser.page()
    made.size(1280, 900)
    return made


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_view_draws_and_fits(server: HttpServer, page: Page, width: int, dark: bool) -> None:
    """All five, in both widths and both schemes: plots with axes and units, no scrolling sideways, no error, nothing from elsewhere."""
    page.size(width, 900, dark=dark)
    for view in VIEWS:
        page.open(f"{server.url}#/{view}")
        page.until(DRAWN)
        page.until("!document.querySelector('main').textContent.includes('Loading')")

        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
        assert page.evaluate("document.querySelector('nav a[aria-current]').dataset.page") == view
        assert page.evaluate("document.querySelector('nav a[aria-current]').getBoundingClientRect().right <= innerWidth + 1"), view
        assert page.evaluate("document.querySelectorAll('.card').length == document.querySelectorAll('.card a.behind[href]').length"), view
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert (sum(int(n) for n in ground[4:-1].split(",")) < 200) == dark
    assert page.problems == []
    assert [url for url in page.urls if not url.startswith((server.url, "about:"))] == []


def test_what_a_process_calls_itself_is_text(page: Page) -> None:
    """Markup in every name, argument and reason, in the lists, the story, the tables and the plots: shown, and nothing else."""
    with serving(sources=dashboard_data.sources(dashboard_data.HOSTILE)) as server:
        for place in (*VIEWS, "decisions", "decision/6"):
            page.open(f"{server.url}#/{place}")
            page.until("document.querySelectorAll('table, .uplot, .u-legend').length > 0")
            page.until("document.querySelector('main').textContent.includes('<script>') || document.querySelector('.tiles li') !== null")

            assert "BrainKernel" in page.evaluate("document.title")
            assert page.evaluate("[document.querySelectorAll('main script, main img, main iframe, [onerror]').length, window.owned]") == [
                0,
                None,
            ]
        page.open(f"{server.url}#/decision/6")
        page.until("document.querySelector('main').textContent.includes('<script>document.title')")

    assert page.problems == []


def test_a_filter_that_is_none_is_said(server: HttpServer, page: Page) -> None:
    """An address that somebody made up: its text is text, and the answer a sentence."""
    page.open(f"{server.url}#/decisions?category=<img src=x onerror=owned=1>&from=x")
    page.until("document.querySelector('[role=alert]')?.textContent.length > 10")

    assert page.evaluate("document.querySelector('.filter').textContent") == "category <img src=x onerror=owned=1>"
    assert page.evaluate("document.querySelectorAll('main img').length") == 0


def test_markup_is_refused_also_where_a_bug_would_let_it_in(server: HttpServer, page: Page) -> None:
    """The policy itself: inline script, inline handler and innerHTML do nothing, so a slip in the page is no hole."""
    page.open(server.url)
    page.until(DRAWN)

    page.evaluate("{const s = document.createElement('script'); try { s.text = 'window.owned = 1' } catch {} document.body.append(s)}")
    refused = page.evaluate("(() => { try { document.body.innerHTML = '<b>x</b>'; return false } catch { return true } })()")

    assert page.evaluate("typeof window.owned") == "undefined"
    assert refused


def test_a_figure_leads_to_its_decisions_and_they_to_their_story(server: HttpServer, page: Page) -> None:
    """By mouse: the link of a figure, a line of the list, and back."""
    page.open(f"{server.url}#/resources")
    page.until(DRAWN)
    page.evaluate("[...document.querySelectorAll('a.behind')].find(a => a.getAttribute('aria-label').includes('Pressure')).click()")
    page.until("location.hash.startsWith('#/decisions?kind=limit&range=') || location.hash.startsWith('#/decisions?kind=limit&from=')")
    page.until("document.querySelectorAll('tbody tr').length == 20")
    page.evaluate("document.querySelector('tbody a').click()")
    page.until("document.querySelector('h2').textContent.includes('Decision #6')")

    assert page.evaluate("document.querySelector('main').textContent.includes('brainkernel undo 6')")
    page.evaluate("history.back()")
    page.until("location.hash.startsWith('#/decisions?')")


def test_story_that_comes_late_does_not_take_the_place_of_what_was_chosen_since(page: Page) -> None:
    """Whoever goes on while a decision loads keeps the view they went to."""
    sources, hold = dashboard_data.sources(), threading.Event()
    sources.daemon.results["DecisionAsked"] = lambda _asked: dashboard_data.story() if hold.wait(60) else {}
    with serving(sources=sources) as server:
        page.open(f"{server.url}#/decision/6")
        page.until("document.querySelector('main').textContent.includes('Loading')")
        page.evaluate("document.querySelector('nav a[data-page=quality]').click()")
        page.until("document.querySelector('h2').textContent == 'Quality'")
        hold.set()
        page.until("performance.getEntriesByType('resource').some((one) => one.name.includes('/api/decisions/6') && one.responseEnd)")
        page.until("document.querySelector('.u-over') !== null")

        assert page.evaluate("document.querySelector('h2').textContent") == "Quality"


def test_plot_whose_figures_come_late_is_not_kept(page: Page) -> None:
    """A plot of a view that was left is drawn nowhere: none stays behind to follow the mouse of those that are seen."""
    sources, hold = dashboard_data.sources(), threading.Event()
    sources.daemon.results["SeriesAsked"] = lambda asked: dashboard_data.series(asked) if not asked.names or hold.wait(60) else {}
    with serving(sources=sources) as server:
        page.open(f"{server.url}#/performance")
        page.until("document.querySelector('main').textContent.includes('Loading')")
        page.evaluate("document.querySelector('nav a[data-page=quality]').click()")
        page.until("document.querySelector('h2').textContent == 'Quality'")
        hold.set()
        page.until(DRAWN)
        page.until("!document.querySelector('main').textContent.includes('Loading')")
        kept = page.evaluate("import('/static/vendor/uplot/uPlot.esm.js').then((made) => made.default.sync('time').plots.length)")

        assert kept == page.evaluate("document.querySelectorAll('.u-over').length")


def test_keys_alone_reach_everything(server: HttpServer, page: Page) -> None:
    """Tab to a plot, arrows along it, Enter to the decisions of that moment; the first Tab skips the header."""
    page.open(server.url)
    page.until(DRAWN)
    page.key("Tab", 9)
    assert page.evaluate("document.activeElement.id") == "skip"
    page.key("Enter", 13, "\r")
    assert page.evaluate("document.activeElement.id") == "content"
    for _ in range(40):
        page.key("Tab", 9)
        if page.evaluate("document.activeElement.classList.contains('plot')"):
            break

    page.key("ArrowLeft", 37)
    page.key("ArrowLeft", 37)
    page.until("[...document.querySelectorAll('.u-legend .u-value')].some(v => v.textContent.endsWith('ms'))")
    assert "Decision time: " in page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.key("Enter", 13, "\r")
    page.until("location.hash.startsWith('#/decisions?from=')")


def test_success_is_the_share_of_decisions_in_time(server: HttpServer, page: Page) -> None:
    """One of four was late; a moment without a decision has no share."""
    page.open(server.url)
    line = "(...mean) => ({ low: mean, mean, high: mean })"
    shown = page.evaluate(f"""import('/static/views.js').then(({{ VIEWS }}) => {{
        const line = {line}, answer = {{ series: {{ decisions_per_s: line(4, 0), decisions_late_per_s: line(1, 0) }} }};
        VIEWS[0].figures.find((figure) => figure.derive).derive(answer);
        return answer.series['decisions in time'].mean }})""")

    assert shown == [0.75, None]


def test_distribution_of_latency_is_that_of_the_chosen_time(server: HttpServer, page: Page) -> None:
    """Four of seven a second within 5 ms, over five minutes or a day; each bar leads to its decisions; and it goes on live."""
    card = "[...document.querySelectorAll('.card')].find(c => c.querySelector('h3').textContent == 'Latency distribution')"
    rows = f"[...{card}.querySelectorAll('tbody tr')].map(r => [r.querySelector('th').textContent, +r.lastChild.textContent.replaceAll(',', '')])"
    for seconds in (300, 86_400):
        page.open(f"{server.url}#/performance?range={seconds}")
        page.until(f"{rows}.length")
        shown = {label: count for label, count in page.evaluate(rows) if count}

        assert list(shown) == ["to 5 ms", "to 1 s", "over 10 s"]
        assert shown["to 5 ms"] == pytest.approx(4 * seconds, rel=0.05)
        assert shown["to 1 s"] == pytest.approx(seconds, rel=0.05)
    behind = page.evaluate(f"{card}.querySelector('tbody tr a').getAttribute('href')")
    page.open(f"{server.url}#/performance?range=300")
    page.until(f"{rows}.length")
    before = page.evaluate(rows)[0][1]
    page.until(f"{rows}[0][1] > {before + 8}")

    assert behind.startswith("#/decisions?late_ms=2.5&within_ms=5&from=")
    assert page.problems == []


def test_trend_is_drawn_into_the_future_and_anomalies_are_marked(server: HttpServer, page: Page) -> None:
    """The line that goes on, its bound, and the time in which a figure was unlike itself; none of it for a time in the past."""
    marked = """(() => { const c = document.querySelector('.plot canvas'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        let n = 0; for (let i = 0; i < d.length; i += 4) n += d[i] > 1.3 * d[i + 2] && d[i + 3] > 20 && d[i + 3] < 60; return n })()"""
    page.open(f"{server.url}#/trends?range=900")
    page.until("document.querySelector('.u-legend')?.textContent.includes('if it goes on')")

    assert page.evaluate("document.querySelector('.u-legend').textContent.includes('bound')")
    assert page.until(marked) > 1000
    rows = "[...document.querySelectorAll('main tbody tr')].filter(r => r.textContent.startsWith('calm')).map(r => r.lastChild.textContent)"
    assert page.evaluate(rows) == ["beyond it at this moment"]
    page.open(f"{server.url}#/trends?from=1790000000&to=1790003600")
    page.until("location.hash.includes('from') && document.getElementById('now').hidden === false")
    page.until(DRAWN)
    assert not page.evaluate("document.querySelector('.u-legend').textContent.includes('if it goes on')")
    page.evaluate("document.getElementById('now').click()")
    page.until("location.hash.includes('range=900')")
    assert page.problems == []


def test_mouse_reads_picks_and_zooms(server: HttpServer, page: Page) -> None:
    """Hovering tells the values of that moment, dragging asks for that time alone, a click shows its decisions."""
    page.open(f"{server.url}#/performance?range=900")
    page.until(DRAWN)
    left, top, width = page.evaluate(
        "(() => { const r = document.querySelector('.u-over').getBoundingClientRect(); return [r.left, r.top, r.width] })()"
    )
    newest = page.evaluate("document.querySelector('.u-legend .u-value').textContent")

    page.mouse(("mouseMoved", left + width * 0.3, top + 60))
    page.until(f"document.querySelector('.u-legend .u-value').textContent != {newest!r}")
    assert page.evaluate("document.querySelectorAll('.u-legend .u-value')[1].textContent").endswith("ms")

    page.mouse(
        ("mousePressed", left + width * 0.3, top + 60),
        ("mouseMoved", left + width * 0.6, top + 60),
        ("mouseReleased", left + width * 0.6, top + 60),
    )
    page.until("location.hash.startsWith('#/performance?from=')")
    page.until(DRAWN)
    span_s = page.evaluate("(() => { const q = new URLSearchParams(location.hash.split('?')[1]); return q.get('to') - q.get('from') })()")
    assert 200 < span_s < 340

    page.until("!document.querySelector('main').textContent.includes('Loading')")
    page.mouse(
        ("mouseMoved", left + width / 2, top + 60),
        ("mousePressed", left + width / 2, top + 60),
        ("mouseReleased", left + width / 2, top + 60),
    )
    page.until("location.hash.startsWith('#/decisions?from=')")
    assert page.problems == []


@pytest.mark.parametrize("seconds", [300, 2_592_000])
def test_range_reaches_from_five_minutes_to_thirty_days(server: HttpServer, page: Page, seconds: int) -> None:
    """The choice is asked for, drawn whole, and stands in the address."""
    page.open(server.url)
    page.until(DRAWN)
    page.evaluate(
        f"(() => {{ const r = document.getElementById('range'); r.value = '{seconds}'; r.dispatchEvent(new Event('change')) }})()"
    )
    page.until(f"location.hash.includes('range={seconds}')")
    page.until(DRAWN)
    page.evaluate("document.querySelector('details.values summary').click()")
    page.until("document.querySelectorAll('details.values tbody tr').length > 100")

    assert any(f"range={seconds}&" in url for url in page.urls)
    assert page.problems == []


def test_live_events_move_the_page(page: Page) -> None:
    """What the daemon counts shows without a reload, and a daemon that goes away is said."""
    sources = dashboard_data.sources()
    with serving(sources=sources) as server:
        page.open(server.url)
        page.until("document.querySelector('.tiles strong')?.textContent == '123'")
        answer = sources.daemon.results["OverviewAsked"]
        assert isinstance(answer, dict)
        answer["counts"]["decisions"]["note"] += 1000
        page.until("document.querySelector('.tiles strong').textContent == '1,123'")
        sources.daemon.results.clear()
        page.until("document.getElementById('state').textContent.includes('does not answer')")


def test_fault_of_the_live_figures_is_said_and_they_come_back(page: Page) -> None:
    """A page that is looked at is not left in silence, and needs no reload when the fault is over."""
    sources, faults = dashboard_data.sources(), [ValueError("a figure of a strange kind")]
    overview = sources.daemon.results["OverviewAsked"]

    def answer(_asked: object) -> dict[str, Any]:
        if faults:
            raise faults[0]
        assert isinstance(overview, dict)
        return overview

    sources.daemon.results["OverviewAsked"] = answer
    with serving(sources=sources) as server:
        page.open(server.url)
        page.until("document.getElementById('state').textContent.includes('no connection to the gateway')")
        faults.clear()
        page.until("document.querySelector('.tiles strong')?.textContent == '123'")


def test_login_in_a_browser(page: Page) -> None:
    """Without the token the page asks for it; a wrong one is said, the right one lets in."""
    with serving(sources=dashboard_data.sources(), token=Token("0123456789abcdef-the-word")) as server:
        page.open(server.url)
        for word, then in (("wrong", "document.querySelector('[role=alert]') !== null"), ("0123456789abcdef-the-word", DRAWN)):
            page.until("document.getElementById('token') !== null")
            page.evaluate(f"document.getElementById('token').value = '{word}'; document.querySelector('form').requestSubmit()")
            page.until(then)


def test_page_without_a_daemon_says_so(page: Page) -> None:
    """The gateway runs, the daemon does not: no blank page, no endless wait, and what to do."""
    with serving(sources=FakeSources(FakeDaemon())) as server:
        page.open(server.url)
        page.until("document.getElementById('state').textContent.includes('does not answer')")
        page.until("document.querySelector('.card [role=alert]')?.textContent.includes('systemctl status brainkernel')")
