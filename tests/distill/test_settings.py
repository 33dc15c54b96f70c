"""The TOML configuration: what is unknown or of the wrong type is refused by name."""

import subprocess
import sys
from pathlib import Path

import pytest
import tomllib

from distill import settings as config
from distill.config.sections import Config, PhaseSection
from runtime.errors import InputError

DATA = '[data]\ntrain = ["synthetic:4@1"]\nvalidation = ["synthetic:4@2"]\n'

LEAN = "[student]\nfamily = 'plain'\nhead_stride = 2\n"
BEGUN = "[student]\nfamily = 'efficientnet_lite0'\nhead_stride = 2\ndecoder = [8]\nencoder_weights = 'imagenet'\n"


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
        ("[dta]\n", "Unknown key 'dta' in the configuration; did you mean data? known here: student, data"),
        (DATA + "crops = 3\n", "Unknown key 'data.crops' in the configuration; did you mean crop?"),
        (DATA + "[float]\nsteps = 'many'\n", "float.steps is 'many'; it must be a whole number"),
        (DATA + "[float]\nsteps = 2.5\n", "float.steps is 2.5"),
        (DATA + "[float]\nsteps = true\n", "float.steps is True"),
        (DATA + "[student]\ndecoder = 8\n", "it must be a list"),
        (DATA + "[student]\nfamily = 'vgg'\n", "There is no student 'vgg'; choose one of efficientnet_b0"),
        (DATA + "[student]\noutputs = ['core']\n", "foreground must come first"),
        (DATA + "[student]\noutputs = ['foreground', 'halo']\n", "halo"),
        (DATA + "[student]\ndecoder = [8, 8]\n", "five positive channel counts"),
        (DATA + "crop = 100\n", "multiple of 32"),
        (DATA + "labels = 'mitochondria'\n", "choose one of nuclei, cells"),
        (DATA + "share = [0.5, 0.5]\n", "data.share has 2 values for 1"),
        (DATA + "[float]\nsteps = 70\n", "try 50"),
        (DATA + "[qat]\nbatch = 0\n", "qat.batch"),
        ("seed = 1\n", "at least one data spec"),
        (DATA + "labelled = 0\n", "data.labelled is 0.0"),
        (DATA + "labelled = 1.5\n", "data.labelled is 1.5"),
        (DATA + "taught = 1\n", "data.taught is 1.0"),
        (DATA + "fold = [4, 4]\n", "data.fold is [4, 4]"),
        (DATA + "fold = [0, 1]\n", "data.fold is [0, 1]"),
        (DATA + "[student]\nchannels = ['membrane', 'nucleus']\n", "give nucleus first"),
        (DATA + "[student]\nchannels = ['nucleus', 'nucleus']\n", "no channel twice"),
        (DATA + "[student]\nfamily = 'swin_tiny'\n", "set qat.steps = 0"),
        (DATA + "[teacher]\nname = 'oracle'\n", "There is no teacher 'oracle'; choose one of cellsam"),
        (DATA + "[teacher]\nname = 'unet'\nmembrane = 'torn'\n", "'torn'; choose one of own, blank, shuffled."),
        (DATA + "[teacher]\nname = 'sam'\noptions.size = 'vit_s'\n", "choose one of vit_b, vit_l, vit_h."),
        (DATA + "[teacher]\nname = 'sam'\noptions.prompts = 'lines'\n", "teacher.options.prompts is 'lines', and SAM"),
        (DATA + "[teacher]\nname = 'sam'\noptions.prompt_labels = 'rims'\n", "teacher.options.prompt_labels is 'rims'"),
        (DATA + "[teacher]\nname = 'unet'\ndevice = 'tpu'\n", "teacher.device is 'tpu'"),
        (DATA + "[loss]\nmatching = 'mse'\n", "there is no teacher to match"),
        (DATA + "[loss]\nsupervised = ''\n", "needs one of them to learn from"),
        (DATA + "[loss]\nsupervised_options = 3\n", "it must be a table"),
        (DATA + "[float]\naccumulate = 0\n", "float.accumulate"),
        (DATA + "[float]\nprecision = 'bf17'\n", "float.precision is 'bf17'; choose one of 32-true"),
        (DATA + "[trainer]\ninterval = 0\n", "trainer.interval is 0"),
        (DATA + "[trainer]\nvalidate = 0\n", "trainer.validate is 0"),
        (DATA + "[trainer]\npatience = -1\n", "trainer.patience is -1"),
        (DATA + "[trainer]\ndevices = 0\n", "trainer.devices is 0"),
        (DATA + "[trainer]\nnodes = 0\n", "trainer.nodes is 0"),
        (DATA + "[study]\nseeds = 0\n", "study.seeds is 0"),
        (DATA + "[study]\nrows = []\n", "study.rows is []"),
        (DATA + "[study]\nrows = ['paper', 'paper']\n", "study.rows"),
        (DATA + "[study]\nstudents = ['vgg']\n", "There is no student 'vgg'; choose one of efficientnet_b0"),
        (DATA + "[study]\nfractions = [0.1, 1.0]\n", "give shares between 0 and 1"),
        (DATA + "[study]\nradii = [-1]\n", "study.radii is [-1]"),
        (DATA + "[study]\nblock = -5\n", "study.block is -5"),
        (DATA + "[study.teacher]\nfolds = 0\n", "study.teacher.folds is 0"),
        (DATA + "[study.teacher]\nfamily = 'vgg'\n", "There is no student 'vgg'; choose one of efficientnet_b0"),
        (DATA + "[study.teacher]\nsteps = 0\n", "study.teacher.steps is 0; it must be at least 1"),
        (DATA + "[study.teacher]\ndrop = 2\n", "study.teacher.drop is 2; it is a share"),
        (DATA + "[study.teacher]\nchannels = ['membrane', 'nucleus']\n", "study.teacher.channels is ['membrane'"),
        (DATA + "[study.teacher]\ndecoder = [8]\n", "study.teacher.decoder is [8]"),
        (DATA + "share = [-1]\n", "data.share is [-1.0]"),
        (DATA + "share = [nan]\n", "data.share is [nan]"),
        (DATA + "[student]\noutputs = ['foreground', 'foreground']\n", "nothing twice"),
        (DATA + "[student]\nlow_percentile = 99.9\n", "student.low_percentile"),
        (DATA + "[augment]\nscale = 0\n", "augment.scale is 0; give 1 to 16, where 1 switches it off"),
        (DATA + "[augment]\nnoise = -0.1\n", "augment.noise is -0.1"),
        (DATA + "[augment]\ngamma = nan\n", "augment.gamma is nan"),
        (DATA + "[float]\nlearning_rate = nan\n", "float.learning_rate"),
        (DATA + "[float]\nwarmup = 7\n", "float.warmup is 7; it is a share of the steps"),
        (DATA + "[qat]\nclip = -1\n", "qat.clip"),
        (
            BEGUN + "init_from = 'nuclei-fast'\n" + DATA,
            "student.init_from is 'nuclei-fast', and encoder_weights is set",
        ),
        (DATA + "[trainer]\ncrops = 'moon'\n", "trainer.crops is 'moon'; choose one of host, device"),
        (
            DATA + "[teacher]\nname = 'masks'\noptions.looks_at = 'crops'\n[loss]\nmatching = 'mse'\n",
            "Unknown key 'teacher.options.looks_at' in the configuration; known here: soften, licence",
        ),
        (DATA + "[trainer]\naccelerator = 'quantum'\n", "trainer.accelerator is 'quantum'; choose one of auto, cpu"),
        (DATA + "core = 'soft'\n", "data.core is 'soft'; choose one of eroded, distance."),
        (DATA + "small_nuclei = 0\n", "data.small_nuclei is 0; give a factor over 0"),
        (DATA + "small_nuclei = inf\n", "data.small_nuclei is inf"),
        (DATA + "[augment]\nhaze = -0.1\n", "augment.haze is -0.1; give 0 to 1, where 0 switches it off"),
        (DATA + "[float]\naverage = 1\n", "float.average is 1; give 0 to switch it off, or a decay below 1"),
        (DATA + "[float]\naverage = -0.5\n", "float.average is -0.5"),
        (DATA + "[float]\naverage = nan\n", "float.average is nan"),
        (DATA + "[qat]\naverage = 0.9\n", "qat.average is 0.9, but int8 scales are averages already"),
        (DATA + "[student]\nhead_stride = 3\n", "student.head_stride is 3"),
        (DATA + "[student]\nfamily = 'plain'\n", "set student.head_stride = 2"),
        (DATA + LEAN + "decoder = [8, 8, 8, 8, 8]\n", "student.decoder is [8, 8, 8, 8, 8]; with head_stride 2"),
        (DATA + LEAN + "decoder = [8, 8]\nencoder = [8]\n", "student.encoder is [8]; a decoder of two stages"),
        (DATA + LEAN + "decoder = [8, 8]\nencoder = [8, 8, -8]\n", "student.encoder is [8, 8, -8]"),
        (
            DATA + "[student]\nencoder_weights = 'imagenet'\n",
            "'imagenet', but mobilenetv3 has none; leave it out",
        ),
        (DATA + "[student]\nencoder_weights = 'coco'\n", "student.encoder_weights is 'coco', but"),
        (DATA + BEGUN + "[study]\nstudents = ['plain']\n", "'imagenet', but plain has none"),
        (DATA + "[study]\nstudents = ['plain']\n", "student.head_stride is 1, but the decoder of plain"),
        (DATA + "[study.teacher]\nfamily = 'plain'\n", "study.teacher.head_stride is 1"),
        ("seed = -1\n" + DATA, "seed is -1"),
        ("float = 3\n" + DATA, "[float] is 3; it must be a section"),
        (DATA + "[teacher]\nname = 'unet'\noptions.look_at = 'crops'\n", "did you mean looks_at?"),
        (DATA + "[loss]\nsupervised = 'dice'\n", "loss.supervised is 'dice'; choose one of cwd"),
        (DATA + "[loss]\nweighting = 'none'\n", "loss.weighting is 'none'; choose one of fixed"),
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


def test_options_of_a_loss_are_a_table(load):
    text = DATA + "[teacher]\nname = 'unet'\n[loss]\nmatching = 'hinton'\nmatching_options = {temperature = 4.0}\n"
    assert load(text).loss.matching_options == {"temperature": 4.0}


def test_a_study_keeps_the_defaults_of_its_teacher(load):
    loaded = load(DATA + "[study]\nseeds = 5\n[study.teacher]\nfolds = 3\n")
    assert loaded.study.seeds == 5
    assert loaded.study.teacher.folds == 3
    assert loaded.study.teacher.channels == ("nucleus", "membrane")


CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))
TRAININGS = [path for path in CONFIGS if path.stem != "search"]  # that one names candidates, and trains nothing


@pytest.mark.parametrize("path", TRAININGS, ids=lambda p: p.stem)
def test_every_configuration_that_comes_along_is_one(path: Path):
    assert config.load(path).data.train


def test_what_cannot_be_is_said_before_torch_is_imported(tmp_path: Path):
    path = tmp_path / "config.toml"
    path.write_text(DATA + "[float]\nsteps = 70\n", encoding="utf-8")
    script = (
        "import sys\nfrom pathlib import Path\nfrom distill import settings\n"
        "try:\n    settings.load(Path(sys.argv[1]))\nexcept ValueError as error:\n    print(error)\n"
        "settings.schema()\nprint({'torch', 'lightning', 'zarr'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "float.steps is 70; it must be a multiple of trainer.interval 50; try 50.",
        "set()",
    ]


def test_the_schema_accepts_what_comes_along_and_refuses_what_the_reader_does():
    jsonschema = pytest.importorskip("jsonschema")
    schema = config.schema()
    for path in TRAININGS:
        jsonschema.validate(tomllib.loads(path.read_text(encoding="utf-8")), schema)
    for wrong in ({"dta": {}}, {"float": {"steps": "many"}}, {"teacher": {"name": "masks", "options": {"size": 3}}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


def test_the_schema_says_what_each_key_means():
    sections = {name: section for name, section in config.schema()["$defs"].items() if name != "TeacherSection"}
    for name, section in sections.items():
        for key, about in section["properties"].items():
            assert about.get("description") or "$ref" in about, f"{name}.{key}"
