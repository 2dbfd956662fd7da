"""MLproject, scripts, pins and files agree with each other."""

import ast
import importlib
import re
import tomllib
from pathlib import Path

import pytest
import typer
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
ENTRY_POINTS = yaml.safe_load((ROOT / "MLproject").read_text(encoding="utf-8"))["entry_points"]
TYPES = {"string": str, "float": float, "path": str, "uri": str}


def _pins() -> dict[str, Requirement]:
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text(encoding="utf-8"))
    (pip,) = (entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict))
    requirements = [Requirement(line) for line in pip]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def _project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _ranges() -> dict[str, Requirement]:
    requirements = [Requirement(line) for line in _project()["dependencies"]]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def _options(entry: str) -> dict:
    """The options of a script, by parameter name of MLproject."""
    app = typer.Typer(add_completion=False)
    app.command()(importlib.import_module(f"entrypoints.{entry}").command)
    command = typer.main.get_command(app)
    options = {}
    for option in command.params:
        (flag,) = (flag for flag in option.opts if flag.startswith("--"))
        options[flag.removeprefix("--").replace("-", "_")] = option
    options.pop("help", None)
    return options


@pytest.mark.parametrize("name", sorted(_ranges()))
def test_every_dependency_is_pinned_within_its_range(name):
    assert name in _pins(), f"{name} stands in pyproject.toml and not in conda.yaml"
    (pin,) = _pins()[name].specifier
    assert pin.operator == "=="
    assert "*" not in pin.version
    assert _ranges()[name].specifier.contains(pin.version, prereleases=True)


def test_conda_pins_nothing_that_the_project_does_not_name():
    assert sorted(_pins()) == sorted(_ranges())


def test_the_projects_python_allows_condas():
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text(encoding="utf-8"))
    (python,) = (
        entry for entry in conda["dependencies"] if isinstance(entry, str) and "python=" in entry
    )
    version = python.partition("=")[2]
    assert Requirement(f"python{_project()['requires-python']}").specifier.contains(version)


def test_every_script_is_an_entry_point():
    scripts = {path.stem for path in (ROOT / "entrypoints").glob("*.py")} - {"__init__"}
    assert scripts == set(ENTRY_POINTS)


@pytest.mark.parametrize("entry", ENTRY_POINTS)
def test_parameters_are_the_scripts_options(entry):
    assert list(ENTRY_POINTS[entry]["parameters"]) == list(_options(entry))


@pytest.mark.parametrize("entry", ENTRY_POINTS)
def test_every_parameter_stands_in_the_command(entry):
    words = ENTRY_POINTS[entry]["command"].split()
    assert words[:3] == ["python", "-m", f"entrypoints.{entry}"]
    expected = []
    for name in ENTRY_POINTS[entry]["parameters"]:
        expected += [f"--{name.replace('_', '-')}", f"{{{name}}}"]
    assert words[3:] == expected


@pytest.mark.parametrize(
    ("entry", "name"),
    [(entry, name) for entry, point in ENTRY_POINTS.items() for name in point["parameters"]],
)
def test_defaults_agree(entry, name):
    parameter = ENTRY_POINTS[entry]["parameters"][name]
    assert set(parameter) == {"type", "default"}
    option = _options(entry)[name]
    assert not option.required
    assert str(parameter["default"]) == str(option.default)
    # MLflow counts in floats; the script takes text or whole numbers.
    assert isinstance(option.default, int) == (TYPES[parameter["type"]] is float)
    assert isinstance(parameter["default"], str) == (TYPES[parameter["type"]] is str)


@pytest.mark.parametrize("entry", ENTRY_POINTS)
def test_every_option_is_fed_by_its_own_parameter(entry):
    placeholders = re.findall(r"\{(\w+)\}", ENTRY_POINTS[entry]["command"])
    assert placeholders == list(dict.fromkeys(placeholders))
    assert set(placeholders) == set(ENTRY_POINTS[entry]["parameters"])


def test_no_file_is_long():
    files = [
        path for folder in ("carvision", "entrypoints") for path in ROOT.glob(f"{folder}/**/*")
    ]
    lines = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in files
        if path.suffix == ".py"
    }
    assert len(lines) > 20
    assert {name: count for name, count in lines.items() if count > 300} == {}


def test_no_function_is_long():
    """A function fits on a screen."""
    lengths = {}
    for path in ROOT.glob("carvision/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                lengths[f"{path.relative_to(ROOT)}:{node.name}"] = length
    assert len(lengths) > 500
    assert {name: length for name, length in lengths.items() if length > 50} == {}


def test_tests_bear_the_names_of_the_modules():
    """Whole situations, which have no module of their own, are in tests/scenarios."""
    strangers = []
    for path in ROOT.glob("tests/*/**/test_*.py"):
        room, *folders = path.relative_to(ROOT / "tests").parts[:-1]
        module = ROOT / "carvision" / room / Path(*folders) / path.name.removeprefix("test_")
        # A package's tests may be one file.
        known = module.exists() or module.with_suffix("").is_dir()
        if room not in ("scenarios", "commands") and not known:
            strangers.append(path.relative_to(ROOT).as_posix())
    assert sorted(strangers) == []
