"""The notebooks run from top to bottom, also with every cell run twice, and show what their prose promises."""

import html
import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = {path.stem: path for path in sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))}
MOST_BYTES = 250_000  # of a notebook in git

Run = Callable[[nbformat.NotebookNode], None]

# What the outputs contain.
EXPECTED = {
    "01_quickstart": [
        "<mark>", "assistant", "never closed", "example-model tokens: 412 in, 38 out",
        "[(2, 'First the entry point, then what it opens.', 'ok')]",
        "({'step': 2, 'user:lang': 'zh-CN'}, {'user:lang': 'zh-CN'})",
        "human  请帮我分析代码：main.go\n   ai  The file", " tool  func main()", "HumanMessage", "AIMessage",
        "['Thanks, please fix it.', 'Done: closed with defer.']", "Code review user 请帮我分析 代码", "event_count",
        'Read {"path":"main.go"} ok func main()', "'usage_by_day',\n  'session_overview',\n  'transcript'],\n 4)",
    ],
    "02_langchain_memory": [
        "'You said before: 我叫 Ada.'", "Nice to meet you.", "Here you are: 100 g of oolong cost 15 €.",
        'price_of ok {"tea": "oolong"}', "Result of #", "('tool', '100 g of oolong cost 15 €')", "agent", "price_of",
        "('assistant', 'Here you are: 100 g of oolong cost 15 €.')", "replies input_tokens",
    ],
    "03_history_queries": [
        "'sessions': 700", "'events': 2800", "<mark>", "可以 退款 吗", "when is my money back?", *5 * ["<image>"],
        "(0,\n ['I returned A-9250, when is my money back?'", "{'words': ",
        "Refund refund order A-92 50 found 4", "('returned A-925', ",
        "track_order 270 48 17.8", "退款 我想退掉订单", "2025-12", "track_order failed", "timeout",
    ],
    "04_bring_your_history": [
        "('chatgpt', 1, 4)", "(0, 0, 4)", "('openai-chat', ())", "Tea at night", "<mark>", "assistant",
        "rooibos 0 mg", "('history.html', True), ('history.jsonl', True), ('history.md', True)", "True",
        "请推荐一种绿茶",
    ],
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Executes a notebook in a folder of its own, where what Jupyter and matplotlib keep for a person goes too."""
    monkeypatch.setenv("PYTHONUTF8", "1")
    monkeypatch.delenv("MPLBACKEND", raising=False)  # pictures are to be shown in the notebook
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))

    def execute(document: nbformat.NotebookNode) -> None:
        where = {"metadata": {"path": str(tmp_path)}}
        NotebookClient(document, kernel_name="python3", timeout=120, resources=where).execute()

    return execute


def outputs_of(document: nbformat.NotebookNode) -> str:
    """What a reader sees below the cells: the text of HTML (marks stay), and where pictures are."""
    shown = []
    for output in (output for cell in document.cells if cell.cell_type == "code" for output in cell.outputs):
        assert output.output_type != "error", f"{output.ename}: {output.evalue}"
        assert output.get("name") != "stderr", output.text
        data = output.get("data", {})
        if "image/png" in data:
            shown.append("<image>")
        elif "text/html" in data:
            markup = re.sub(r"<style.*?</style>", "", data["text/html"], flags=re.DOTALL)
            shown += ["<mark>"] * ("<mark>" in markup)
            shown.append(" ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup)).split()))
        else:
            shown.append(output.text if "text" in output else data["text/plain"])
    return "\n".join(shown)


def assert_shows(document: nbformat.NotebookNode, expected: list[str]) -> None:
    """Each expected text is there; pictures are counted."""
    shown = outputs_of(document)
    for text in expected:
        assert text in shown
    assert shown.count("<image>") == expected.count("<image>")


def test_every_notebook_is_expected_to_show_something() -> None:
    assert list(NOTEBOOKS) == list(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_outputs_in_git_are_clean_and_small(name: str) -> None:
    document = nbformat.read(NOTEBOOKS[name], as_version=4)
    nbformat.validate(document)
    assert_shows(document, EXPECTED[name])
    counts = [cell.execution_count for cell in document.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), "not run from top to bottom"
    assert not any(cell.metadata for cell in document.cells)
    assert NOTEBOOKS[name].stat().st_size < MOST_BYTES


@pytest.mark.parametrize("name", EXPECTED)
def test_a_notebook_runs_and_shows_what_it_promises(name: str, run: Run) -> None:
    document = nbformat.read(NOTEBOOKS[name], as_version=4)
    run(document)
    assert_shows(document, EXPECTED[name])


@pytest.mark.parametrize("name", EXPECTED)
def test_every_cell_of_a_notebook_may_run_twice(name: str, run: Run) -> None:
    document = nbformat.read(NOTEBOOKS[name], as_version=4)
    once = [cell for cell in document.cells if cell.cell_type == "code"]
    document.cells = [nbformat.v4.new_code_cell(cell.source) for cell in once for _ in range(2)]
    run(document)
    document.cells = document.cells[1::2]
    assert_shows(document, EXPECTED[name])
