"""lm-eval on a build: in its own process as `hnlpu`, and over a socket as `local-completions`."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from helpers import write_checkpoint, write_tokenizer
from hnlpu import build

pytest.importorskip("lm_eval")

ROWS = [
    {"context": "import os\n", "choices": ["import sys\n", "zqx zqx\n"], "label": 0},
    {"context": "def add(a, b):\n    return a", "choices": [" ? !!\n", " + b\n"], "label": 1},
    {"context": "for i in range(", "choices": ["10):\n", "\n\n\n"], "label": 0},
]
TEXTS = [{"text": "class Queue:\n    def __init__(self):\n        self.items = []\n"}]
CHOICE = """task: choose
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/rows.jsonl}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{context}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: label
target_delimiter: ""
metric_list: [{{metric: acc}}]
"""
ROLLING = """task: perplexity
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/texts.jsonl}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list: [{{metric: byte_perplexity}}]
"""


@pytest.fixture
def tasks(tmp_path):
    for name, rows in (("rows", ROWS), ("texts", TEXTS)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(lines)
    for name, task in (("choose", CHOICE), ("perplexity", ROLLING)):
        (tmp_path / f"{name}.yaml").write_text(task.format(folder=tmp_path))
    return tmp_path


def evaluate(tasks, module, model, arguments):
    """Accuracy, perplexity of a byte, and the log-probabilities of all choices."""
    output = tasks / model
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tasks / "hub")}
    done = subprocess.run(
        [
            sys.executable, "-m", module, "run", "--model", model, "--model_args", arguments,
            "--tasks", "choose,perplexity", "--include_path", str(tasks),
            "--output_path", str(output), "--log_samples",
        ],
        capture_output=True, text=True, timeout=240, cwd=tasks, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    (results,) = output.rglob("results*.json")
    found = json.loads(results.read_text())["results"]
    (samples,) = output.rglob("samples_choose*.jsonl")
    rows = sorted(map(json.loads, samples.read_text().splitlines()), key=lambda row: row["doc_id"])
    logprobs = [float(answer[0]) for row in rows for answer in row["filtered_resps"]]
    return found["choose"]["acc,none"], found["perplexity"]["byte_perplexity,none"], logprobs


def test_both_ways_score_as_we_do(tasks, start, bundled, model):
    expected = []
    for row in ROWS:
        # as lm-eval cuts: white space at the context's end belongs to the continuation
        context = model.encode(row["context"].rstrip()).tolist()
        for choice in row["choices"]:
            whole = model.encode(row["context"] + choice).tolist()
            expected.append(sum(model.score(whole).logprobs[len(context) - 1 :]))
    right = [np.argmax(expected[2 * i : 2 * i + 2]) == row["label"] for i, row in enumerate(ROWS)]
    inside = evaluate(tasks, "hnlpu.lm_eval", "hnlpu", f"build={bundled},max_length=255")
    assert inside[0] == pytest.approx(np.mean(right))
    assert inside[2] == pytest.approx(expected, rel=1e-12)
    with start(bundled) as server:
        arguments = (
            f"model=build,base_url={server.address}/v1/completions,num_concurrent=2,"
            "tokenizer_backend=remote,tokenized_requests=True,max_length=256"
        )
        outside = evaluate(tasks, "lm_eval", "local-completions", arguments)
    assert outside[:2] == pytest.approx(inside[:2], rel=1e-9)
    assert outside[2] == pytest.approx(expected, rel=1e-9)
    assert 1 < inside[1] < 20


@pytest.fixture(scope="module")
def evaluated(bundled):
    from hnlpu.lm_eval import HardwiredLM

    return HardwiredLM(str(bundled), max_length=64)


def texts(lm, *requests):
    return lm.generate_until([SimpleNamespace(args=request) for request in requests])


def test_a_context_that_fits_is_kept_whole_and_told(evaluated, caplog):
    prompt = ROWS[1]["context"]
    (short,) = texts(evaluated, (prompt, {"max_gen_toks": 8, "until": [""]}))
    (long,) = texts(evaluated, (prompt, {"max_gen_toks": 2048, "until": []}))
    assert long.startswith(short)
    assert "prompts are kept whole" in caplog.text
    assert len(texts(evaluated, ("import os\n" * 60, {"max_gen_toks": 2048, "until": None}))) == 1
    assert "lose their beginning" in caplog.text


def test_stop_strings_and_sampling_of_tasks(evaluated):
    prompt = ROWS[1]["context"]
    (whole,) = texts(evaluated, (prompt, {"max_gen_toks": 20}))
    stop = whole[4:6]
    assert texts(evaluated, (prompt, {"max_gen_toks": 20, "until": ["", stop]})) == [
        whole.split(stop)[0]
    ]
    greedy = {"do_sample": False, "temperature": 9.0, "max_gen_toks": 20}
    assert texts(evaluated, (prompt, greedy)) == [whole]
    assert texts(evaluated, (prompt, {"temperature": 5.0, "top_k": 1, "max_gen_toks": 20})) == [
        whole
    ]


def test_both_ways_generate_and_converse_alike(evaluated, server):
    """Texts and conversations through lm-eval's own clients of a socket, beside our model in its process."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.openai_completions import LocalChatCompletion, LocalCompletionsAPI

    options = {"model": "build", "max_retries": 1, "tokenizer_backend": None}
    address = server.address + "/v1"
    texts_ = LocalCompletionsAPI(base_url=f"{address}/completions", **options)
    chats = LocalChatCompletion(base_url=f"{address}/chat/completions", **options)
    history = [{"role": "system", "content": "import os"}, {"role": "user", "content": "def f("}]
    for asked in (
        {"max_gen_toks": 12, "until": ["\n\n"], "do_sample": False},
        {"max_gen_toks": 20, "until": ["(", "zq"]},
    ):
        for lm, prompt, ours in (
            (texts_, ROWS[1]["context"], ROWS[1]["context"]),
            (chats, chats.apply_chat_template(history), evaluated.apply_chat_template(history)),
        ):
            found = lm.generate_until([Instance("generate_until", {}, (prompt, asked), 0)])
            assert found == texts(evaluated, (ours, asked))


def test_conversations_follow_the_template(evaluated, tmp_path):
    history = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    assert evaluated.apply_chat_template(history) == "a\nb"
    assert evaluated.chat_template(True) == ""


def test_a_text_begins_as_with_transformers(tmp_path):
    """Ids of lm-eval's own model of transformers, and the token before a text without a context."""
    from lm_eval.models.huggingface import HFLM

    from hnlpu.lm_eval import HardwiredLM

    folder = write_checkpoint(tmp_path / "c")
    write_tokenizer(folder, 95)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens(["<bos>", "<eos>"])
    tokenizer.post_processor = TemplateProcessing(
        single=["<bos>", "$A"], special_tokens=[("<bos>", tokenizer.token_to_id("<bos>"))]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    told = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<bos>",
        "eos_token": "<eos>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    build(folder, tmp_path / "b", workers=1)
    ours, theirs = HardwiredLM(str(tmp_path / "b")), HFLM(pretrained=str(folder), device="cpu")
    for text in ("ab cd", "<bos>ab", ""):
        for asked in (None, False, True):
            assert ours.tok_encode(text, add_special_tokens=asked) == theirs.tok_encode(
                text, add_special_tokens=asked
            )
    assert ours.prefix_token_id == theirs.prefix_token_id == 95
    tokens = ours.model.tokenizer.encode("ab cd")
    (found,) = ours.loglikelihood_rolling([SimpleNamespace(args=("ab cd",))])
    assert found == pytest.approx(sum(ours.model.score([95, *tokens]).logprobs))


def test_a_task_may_ask_for_nothing():
    from hnlpu.lm_eval import LONGEST_ANSWER, _limit, _sampling

    assert (_limit({"max_gen_toks": 0}), _limit({"max_gen_toks": None})) == (0, LONGEST_ANSWER)
    assert _limit({"max_gen_toks": None, "max_tokens": 7}) == 7
    assert (_sampling({"top_p": 0}).top_p, _sampling({}).top_p) == (0.0, 1.0)
