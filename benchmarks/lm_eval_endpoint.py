"""lm-eval on a build: over the wire as `local-completions`, and in its process as `hnlpu`.

    python benchmarks/lm_eval_endpoint.py BUILD

Installs lm-eval in an environment of its own (about 600 MB, without torch;
`--environment DIR` keeps it), makes three small tasks from modules of the
standard library (choose the true next line among four, perplexity, generate),
runs them both ways, and compares the results with each other and with
`LanguageModel.score`.  Exit code 1 if they differ.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hnlpu.run.emulate import open_language_model

ROOT = Path(__file__).parents[1]
CONTEXT = 1024
MODULES = ("bisect", "queue", "stat", "types", "heapq", "sched", "shelve", "numbers")
CHOICE = """task: next_line
dataset_path: json
dataset_kwargs:
  data_files: {{test: {folder}/lines.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{context}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: label
target_delimiter: ""
metric_list: [{{metric: acc}}]
"""
ROLLING = """task: module_perplexity
dataset_path: json
dataset_kwargs:
  data_files: {{test: {folder}/texts.jsonl}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list: [{{metric: byte_perplexity}}]
"""
GENERATE = """task: next_text
dataset_path: json
dataset_kwargs:
  data_files: {{test: {folder}/lines.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{context}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["\\n"], max_gen_toks: 24}}
metric_list: [{{metric: exact_match}}]
"""


def write_tasks(folder: Path) -> None:
    """The three tasks and their data."""
    choose = random.Random(0)
    texts = [Path(os.__file__).with_name(f"{name}.py").read_text("utf-8") for name in MODULES]
    lines = []
    for text in texts:
        rows = [line for line in text.splitlines() if line.strip()]
        for at in range(6, len(rows) - 1, max(1, len(rows) // 4)):
            true = rows[at] + "\n"
            choices = [true, *(row + "\n" for row in choose.sample(rows, 3))]
            choose.shuffle(choices)
            context = "\n".join(rows[at - 6 : at]) + "\n"
            lines.append(
                {
                    "context": context, "choices": choices,
                    "label": choices.index(true), "answer": rows[at],
                }
            )  # fmt: skip
    _write(folder / "lines.jsonl", lines)
    _write(folder / "texts.jsonl", [{"text": text[:3000]} for text in texts])
    for name, task in (("choice", CHOICE), ("rolling", ROLLING), ("generate", GENERATE)):
        (folder / f"{name}.yaml").write_text(task.format(folder=folder))


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def environment(folder: Path) -> Path:
    """A Python with lm-eval and this hnlpu."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, "lm-eval[api]", "-e", f"{ROOT}[serve]"], check=True)
    return python


def evaluate(
    python: Path, folder: Path, module: str, arguments: list[str]
) -> tuple[dict[str, float], list[str]]:
    """Results of the first two tasks, and the texts of the third."""
    output = folder / f"results-{module}"
    subprocess.run(
        [
            str(python), "-m", module, "run", *arguments,
            "--tasks", "next_line,module_perplexity,next_text", "--include_path", str(folder),
            "--output_path", str(output), "--batch_size", "8", "--log_samples",
        ],
        check=True, stdout=subprocess.DEVNULL, cwd=folder, env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    (file,) = output.rglob("results*.json")
    results = json.loads(file.read_text())["results"]
    (samples,) = output.rglob("samples_next_text*.jsonl")
    texts = [json.loads(line)["resps"][0][0] for line in samples.read_text().splitlines()]
    found = {
        "next line, accuracy": results["next_line"]["acc,none"],
        "perplexity of a byte": results["module_perplexity"]["byte_perplexity,none"],
    }
    return found, texts


def offline_accuracy(build: Path, folder: Path) -> float:
    """The first task by `LanguageModel.score`, without lm-eval."""
    model, right, rows = open_language_model(build), 0, 0
    for line in (folder / "lines.jsonl").read_text().splitlines():
        row = json.loads(line)
        # as lm-eval cuts: white space at the context's end belongs to the continuation
        context = model.encode(row["context"].rstrip()).tolist()
        totals = []
        for choice in row["choices"]:
            whole = model.encode(row["context"] + choice).tolist()
            totals.append(sum(model.score(whole).logprobs[len(context) - 1 :]))
        right += max(range(4), key=totals.__getitem__) == row["label"]
        rows += 1
    return right / rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path)
    parser.add_argument("--environment", type=Path, help="keep or reuse lm-eval's environment")
    options = parser.parse_args()
    build = options.build.resolve()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        python = environment((options.environment or folder / "environment").resolve())
        write_tasks(folder)
        found = {"offline": {"next line, accuracy": offline_accuracy(build, folder)}}
        # over the wire lm-eval keeps one token of the context for what is generated
        arguments = f"build={build},max_length={CONTEXT - 1}"
        found["hnlpu"], texts = evaluate(
            python, folder, "hnlpu.lm_eval", ["--model", "hnlpu", "--model_args", arguments]
        )
        server = subprocess.Popen(
            [sys.executable, "-m", "hnlpu", "serve", str(build), "--port", "0", "--json"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert server.stdout is not None
            text = ""
            while "}" not in text and server.poll() is None:
                text += server.stdout.readline()
            address = json.loads(text)["address"]
            arguments = (
                f"model={build.name},base_url={address}/v1/completions,num_concurrent=4,"
                f"tokenizer_backend=remote,tokenized_requests=True,max_length={CONTEXT}"
            )
            found["local-completions"], texts_over_the_wire = evaluate(
                python,
                folder,
                "lm_eval",
                ["--model", "local-completions", "--model_args", arguments],
            )
        finally:
            server.terminate()
            server.wait(60)
    for name, values in found.items():
        print(f"{name:<18}", "  ".join(f"{key}: {value:.6f}" for key, value in values.items()))
    print(f"{len(texts)} generated texts, {sum(map(len, texts))} characters")
    same = texts == texts_over_the_wire and all(
        math.isclose(value, found[other][key], rel_tol=1e-9)
        for other in ("offline", "local-completions")
        for key, value in found["hnlpu"].items()
        if key in found[other]
    )
    print("equal" if same else "DIFFERENT")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
