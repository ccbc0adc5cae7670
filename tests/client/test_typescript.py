"""Types for TypeScript, made from ``/openapi.json`` of a real service as the guide says."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.documents import ROOT, blocks, needed
from support.make_images import jpeg
from support.servers import Server

pytestmark = [pytest.mark.accept, pytest.mark.leg("typescript")]

GUIDE = ROOT / "docs" / "guides" / "client.md"
TOOLS = Path(__file__).parent / "typescript"  # their versions, pinned
SECONDS = 900.0  # for npm, which may have to fetch them
OPTIONS = ("--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler")
WRONG = """
import type { components, paths } from "./greengrocer";

declare const prediction: components["schemas"]["Prediction"];
const name: string | null = prediction.answer.name;
const list: string[] = prediction.top.map((each) => each.class);
// @ts-expect-error
const number: number = prediction.prediction;
// @ts-expect-error
prediction.weight;
// @ts-expect-error
const level: "finest" = prediction.answer.level;
// @ts-expect-error
type None = paths["/nothing"];

// what is left out of an answer is undefined, not null
declare const problem: components["schemas"]["Problem"];
// @ts-expect-error
const version: string = problem.model === null ? "" : problem.model.version;
declare const line: components["schemas"]["PredictionLine"];
// @ts-expect-error
const values: number[] = line.evidence === null ? [] : line.evidence.values;
const least: components["schemas"]["InferRequest"] = {
  inputs: [{ name: "image", shape: [1], datatype: "BYTES", data: [""] }],
};
"""
RUN = """
import { readFile } from "node:fs/promises";
import { predict, Refused, shown } from "./ask.js";
const url = process.argv[2];
const refused = await predict(new Blob(["no image"]), url).catch((error) => error);
const prediction = await predict(new Blob([await readFile("photo.jpg")]), url);
console.log(JSON.stringify([shown(prediction), refused instanceof Refused, refused.problem.code]));
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, fake_server: Server) -> Path:
    """A directory with the tools, the types, and the program of the guide."""
    for program in ("npm", "node"):
        needed(program)
    directory = tmp_path_factory.mktemp("typescript")
    for file in TOOLS.iterdir():
        shutil.copy(file, directory)
    call(directory, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
    ((command,),) = [each.commands() for each in blocks(GUIDE) if "npx " in each.text]
    call(directory, *command.replace("http://127.0.0.1:8000", fake_server.url).split())
    (program,) = [each.text for each in blocks(GUIDE) if each.language == "ts"]
    name = program.splitlines()[0].removeprefix("// ")
    (directory / name).write_text(program)
    return directory


def call(directory: Path, *command: str) -> str:
    """What a command prints."""
    done = subprocess.run(
        command,
        cwd=directory,
        env=os.environ | {"REDOCLY_TELEMETRY": "off"},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_program_of_the_guide_compiles_runs_and_has_exact_types(
    project: Path, fake_server: Server
) -> None:
    (project / "wrong.ts").write_text(WRONG)  # in which each error is expected
    call(project, "npx", "tsc", *OPTIONS, "ask.ts", "wrong.ts")
    (project / "run.mjs").write_text(RUN)
    (project / "photo.jpg").write_bytes(jpeg(89))
    (project / "package.json").write_text('{"type": "module"}')
    printed = json.loads(call(project, "node", "run.mjs", fake_server.url))
    assert printed == ["grey-3", True, "unreadable-image"]
