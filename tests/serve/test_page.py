"""The page in headless Chromium: it talks, shows rates and experts, and fits a phone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--no-first-run", "--disable-quic", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no browser: install the packages chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    service = webdriver.ChromeService(executable_path=driver)
    with webdriver.Chrome(options=options, service=service) as chrome:
        yield chrome


def visit(browser, server, width=390):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    browser.get(server.address)


def wait(browser, condition):
    return WebDriverWait(browser, 30).until(condition)


def text(browser, ident):
    return browser.find_element("id", ident).text


def put(browser, ident, value):
    browser.execute_script(
        "document.getElementById(arguments[0]).value = arguments[1]", ident, value
    )


def generate(browser, prompt, **controls):
    wait(browser, lambda b: text(b, "name") == "build")
    put(browser, "prompt", prompt)
    for name, value in controls.items():
        put(browser, name, value)
    browser.find_element("id", "send").click()
    wait(browser, lambda b: not b.find_element("id", "send").get_attribute("disabled"))


def answer(browser):
    return browser.execute_script(
        "return [...document.querySelectorAll('#output .token')].map(t => t.textContent).join('')"
    )


@pytest.mark.parametrize("width", [390, 1280])
def test_it_continues_a_text_as_the_model_does(browser, server, model, width):
    visit(browser, server, width)
    generate(browser, "import os\n", temperature="0.7", seed="3", max_tokens="30")
    new = model.generate("import os\n", temperature=0.7, seed=3, max_tokens=30)
    assert answer(browser) == "".join(t.text for t in new)
    assert browser.get_log("browser") == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    wide = browser.execute_script(
        "return [...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll') && "
        "e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 80))"
    )
    assert wide == []


def test_rates_stand_side_by_side(browser, server):
    visit(browser, server)
    generate(browser, "import os\n", max_tokens="20", temperature="0")
    wait(browser, lambda b: "simulate)" in text(b, "chip-note"))
    rate = text(browser, "emulator-rate")
    assert float(rate.split()[0]) > 0
    chip = server.get("/hnlpu/model?wait=true").json()["chip"]
    assert chip["tokens_per_second_per_user"] > 0
    shown, unit = text(browser, "chip-rate").split()
    scale = {"k": 1e3, "M": 1e6}[unit]
    assert float(shown) * scale == pytest.approx(chip["tokens_per_second_per_user"], rel=0.05)
    assert "20 tokens" in text(browser, "emulator-note")


def marked_experts(browser):
    """The experts that the map marks as those of the token shown, layer by layer."""
    return browser.execute_script(
        "return [...document.querySelectorAll('#map tr')].map(r => [...r.querySelectorAll('td')]"
        ".flatMap((c, i) => c.classList.contains('now') ? [i] : []))"
    )


def test_a_token_shows_its_experts_and_what_else_it_could_be(browser, server):
    visit(browser, server)
    generate(browser, "import os\n", max_tokens="12", temperature="0")
    body = {
        "model": "build", "prompt": "import os\n", "max_tokens": 12, "temperature": 0,
        "trace_experts": True, "logprobs": 5,
    }  # fmt: skip
    (choice,) = server.post("/v1/completions", body).json()["choices"]
    browser.find_elements("css selector", ".token")[4].click()
    rows = browser.find_elements("css selector", "#choices tr")
    assert len(rows) == 5
    experts = [sorted(layer) for layer in choice["experts"][4]]
    wait(browser, lambda b: marked_experts(b) == experts)  # the map is drawn with the next frame
    heats = browser.execute_script(
        "return [...document.querySelectorAll('#map td')]"
        ".filter(c => Number(c.style.getPropertyValue('--heat')) > 0).length"
    )
    assert heats == len({(i, e) for t in choice["experts"] for i, k in enumerate(t) for e in k})


def test_chat_stop_and_clear(browser, server):
    visit(browser, server)
    wait(browser, lambda b: text(b, "name") == "build")
    browser.find_element("id", "mode-chat").click()
    generate(browser, "def f(", max_tokens="10", temperature="0")
    turns = [t.text for t in browser.find_elements("css selector", ".turn")]
    assert turns == ["you", "model"]
    put(browser, "prompt", "import os\n")
    put(browser, "max_tokens", "900")
    browser.execute_script(  # the model may be done before a driver could click
        "const watch = setInterval(() => { if (document.querySelectorAll('.token').length > 15)"
        " { document.getElementById('stop').click(); clearInterval(watch); } }, 1)"
    )
    browser.find_element("id", "send").click()
    wait(browser, lambda b: len(b.find_elements("css selector", ".token")) > 15)
    wait(browser, lambda b: not b.find_element("id", "send").get_attribute("disabled"))
    assert len(browser.find_elements("css selector", ".token")) < 900
    assert not browser.find_element("id", "problem").is_displayed()
    browser.find_element("id", "clear").click()
    assert browser.find_elements("css selector", ".token") == []


def test_a_model_without_a_template_is_warned_of(browser, server):
    visit(browser, server)
    note = browser.find_element("id", "no-template")
    generate(browser, "import os\n", max_tokens="5", temperature="0")
    assert not note.is_displayed()
    browser.find_element("id", "mode-chat").click()
    assert "knows no roles" in note.text
    generate(browser, "import os\n", max_tokens="5", temperature="0")
    assert note.is_displayed()  # while it talks, too
    assert browser.get_log("browser") == []


CITY = {
    "type": "object",
    "properties": {"city": {"enum": ["Rome"]}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": CITY}}]
THOUGHT = [
    "<|channel|>",
    "analysis",
    "<|message|>",
    "It rains?",
    "<|end|>",
    "<|start|>",
    "assistant",
]
CALL = [
    *THOUGHT,
    "<|channel|>",
    "commentary to=functions.weather",
    "<|message|>",
    '{"city": "Rome"}',
    "<|call|>",
]
SAID = [*THOUGHT, "<|channel|>", "final", "<|message|>", "It does.", "<|return|>"]


def told(script):
    """A stream that says so: what a model of harmony's marks would write, read as the server reads it."""
    from hnlpu.run.chat import ALL_MARKS, HarmonyAnswer

    marks = {mark: i for i, mark in enumerate(ALL_MARKS)}
    words = {len(marks) + i: word for i, word in enumerate(script)}
    ids = {word: i for i, word in words.items()} | marks
    answer = HarmonyAnswer(marks, lambda: lambda token: words.get(token, ""))
    yield {"role": "assistant", "content": ""}
    for word in script:
        parts = answer.push(ids[word], "" if word in marks or word != "It does." else word)
        delta = {"content": parts.content, "reasoning_content": parts.reasoning}
        if parts.calls:
            (call,) = parts.calls
            function = {"name": call.name, "arguments": call.arguments}
            named = {"id": "abc", "type": "function"} if call.name else {}
            delta["tool_calls"] = [{"index": 0, "function": function} | named]
        yield delta


def test_thoughts_are_folded_and_calls_are_answered(browser, server):
    """What the wire says is scripted: a random model would take long to say it."""
    visit(browser, server)
    wait(browser, lambda b: text(b, "name") == "build")
    browser.find_element("id", "mode-chat").click()
    put(browser, "tools", json.dumps(TOOLS))
    streams = [
        "".join(
            f"data: {json.dumps({'choices': [{'index': 0, 'delta': d, 'logprobs': None}]})}\n\n"
            for d in told(script)
        )
        for script in (CALL, SAID)
    ]
    browser.execute_script(
        "window.asked = []; const left = arguments[0]; window.fetch = async (path, given) => {"
        " asked.push(JSON.parse(given.body)); return new Response(left.shift()); }", streams,
    )  # fmt: skip
    generate(browser, "Does it rain?")
    fold = browser.find_element("css selector", "details.thoughts")
    thought = fold.find_element("css selector", ".token")
    assert not thought.is_displayed()
    fold.find_element("css selector", "summary").click()
    assert thought.text == "It rains?"
    call = browser.find_element("css selector", ".call")
    assert call.text.split("\n") == ["calls weather", '{"city": "Rome"}']
    assert text(browser, "prompt-label") == "Result of weather"
    generate(browser, "rain")
    assert answer(browser).endswith("It does.")
    assert text(browser, "prompt-label") == "Your message"
    first, second = browser.execute_script("return asked")
    assert first["tools"] == TOOLS
    asked, called, result = second["messages"]
    assert asked == {"role": "user", "content": "Does it rain?"}
    assert called["reasoning_content"] == "It rains?"
    (use,) = called["tool_calls"]
    assert use["function"] == {"name": "weather", "arguments": '{"city": "Rome"}'}
    assert result == {"role": "tool", "tool_call_id": "abc", "content": "rain"}
    put(browser, "tools", "[")
    generate(browser, "and now?")
    assert "tools: must be a list in JSON" in text(browser, "problem")
    assert browser.find_element("id", "prompt").get_attribute("value") == "and now?"


def test_problems_are_told(browser, server):
    visit(browser, server)
    generate(browser, "a", max_tokens="2000")
    assert "exceeds the context" in text(browser, "problem")
    browser.get_log("browser")  # which notes the refusal
    generate(browser, "", max_tokens="5")
    assert "Give it some text" in text(browser, "problem")


def test_nothing_comes_from_elsewhere_and_touch_targets_are_large(browser, server):
    visit(browser, server)
    wait(browser, lambda b: text(b, "name") == "build")
    names = browser.execute_script(
        "return performance.getEntriesByType('resource').map(e => e.name)"
    )
    assert names
    assert all(name.startswith(server.address) for name in names)
    small = browser.execute_script(
        "return [...document.querySelectorAll('button, summary')]"
        ".filter(e => e.getBoundingClientRect().height < 44).map(e => e.id)"
    )
    assert small == []
    assert "default-src 'none'" in server.get("/").headers["Content-Security-Policy"]


def test_a_server_with_a_key_asks_for_it(browser, start, bundled):
    with start(bundled, "--api-key", "a-key-for-this-test") as server:
        visit(browser, server)
        wait(browser, lambda b: "API key" in text(b, "problem"))
        field = browser.find_element("id", "key")
        field.send_keys("a-key-for-this-test\t")
        generate(browser, "import os\n", max_tokens="5", temperature="0")
        assert answer(browser)
