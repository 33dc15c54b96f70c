"""The TOML configuration: what is unknown or of the wrong type is refused by name."""

from pathlib import Path

import pytest

from distill import config
from distill.config import Config
from distill.sections import PhaseSection
from runtime.errors import InputError

DATA = '[data]\ntrain = ["synthetic:4@1"]\nvalidation = ["synthetic:4@2"]\n'


@pytest.fixture
def load(tmp_path: Path):
    def read(text: str = DATA, *overrides: str) -> Config:
        path = tmp_path / "config.toml"
        path.write_text(text, encoding="utf-8")
        return config.load(path, overrides)

    return read


def test_everything_but_data_has_a_default(load):
    assert load().student == Config().student
    assert load().data.train == ("synthetic:4@1",)


def test_qat_keeps_its_own_defaults(load):
    loaded = load(DATA + "[qat]\nbatch = 4\n")
    assert loaded.qat.batch == 4
    assert loaded.qat.learning_rate == Config().qat.learning_rate != PhaseSection().learning_rate
    assert loaded.qat.precision == "32-true"


def test_a_whole_number_serves_as_a_number(load):
    assert load(DATA + "[augment]\nscale = 2\n").augment.scale == 2.0


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("float.steps=500", lambda c: c.float.steps == 500),
        ("float.learning_rate = 1e-4", lambda c: c.float.learning_rate == 1e-4),
        ("student.squeeze_excite=false", lambda c: c.student.squeeze_excite is False),
        ('student.name="a b"', lambda c: c.student.name == "a b"),
        ("student.name=plain", lambda c: c.student.name == "plain"),
        ("student.decoder=[8,8,8,8,8]", lambda c: c.student.decoder == (8, 8, 8, 8, 8)),
        ('data.train=["bbbc038:C:\\\\x.zip"]', lambda c: c.data.train == ("bbbc038:C:\\x.zip",)),
        ("seed=7", lambda c: c.seed == 7),
        ("qat.batch=2", lambda c: c.qat.batch == 2 and c.qat.precision == "32-true"),
    ],
)
def test_a_setting_is_overridden(load, override: str, found):
    assert found(load(DATA, override))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[dta]\n", "Unknown key 'dta'"),
        (DATA + "crops = 3\n", "'data.crops'"),
        (DATA + "[float]\nsteps = 'many'\n", "float.steps is 'many'; it must be int"),
        (DATA + "[float]\nsteps = 2.5\n", "float.steps is 2.5"),
        (DATA + "[float]\nsteps = true\n", "float.steps is True"),
        (DATA + "[student]\ndecoder = 8\n", "it must be a list"),
        (DATA + "[student]\nfamily = 'vgg'\n", "Unknown student family 'vgg'"),
        (DATA + "[student]\noutputs = ['core']\n", "foreground must come first"),
        (DATA + "[student]\noutputs = ['foreground', 'halo']\n", "halo"),
        (DATA + "[student]\ndecoder = [8, 8]\n", "five positive channel counts"),
        (DATA + "crop = 100\n", "multiple of 32"),
        (DATA + "labels = 'mitochondria'\n", "choose nuclei or cells"),
        (DATA + "share = [0.5, 0.5]\n", "data.share has 2 values for 1"),
        (DATA + "[float]\nsteps = 70\n", "try 50"),
        (DATA + "[qat]\nbatch = 0\n", "qat.batch"),
        ("seed = 1\n", "at least one data spec"),
        ("float = 3\n" + DATA, "float"),
        ("= nonsense", "cannot be read"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(load, text: str, said: str):
    with pytest.raises(InputError) as error:
        load(text)
    assert said in str(error.value)


@pytest.mark.parametrize("override", ["steps", "=3", "float.=3", "seed.deep=3", "float.stepz=3", "float.steps=few"])
def test_a_wrong_override_is_refused(load, override: str):
    with pytest.raises(InputError):
        load("seed = 1\n" + DATA, override)


def test_a_missing_file_is_refused_with_the_next_step(tmp_path: Path):
    with pytest.raises(InputError, match="There is no configuration"):
        config.load(tmp_path / "none.toml")


def test_the_bundled_configuration_is_one():
    folder = Path(config.__file__).parent / "pretrained"
    assert [config.load(path).student.name for path in folder.glob("*/config.toml")]
