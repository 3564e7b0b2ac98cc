"""Dicts of arrays as one vector, and files that appear whole or not at all."""
import io
import os
import pickle
import stat

import numpy as np
import pytest

from minitf.files import FORMAT, VERSION, check_writable, load_arrays, save_arrays, write_whole
from minitf.model.parameters import same_shapes
from minitf.optim import flatten, unflatten

ARRAYS = {"0/W": np.arange(6.0).reshape(2, 3) / 7, "c": np.array(0.1), "q": np.zeros((3, 0)),
          "w": np.ones(2, np.float32)}


def test_flatten_and_unflatten_are_inverse():
    params = {"W": np.arange(6.0).reshape(2, 3), "c": np.array(7.0), "e": np.zeros((0, 2)), "w": np.array([8.0, 9.0])}
    vector = flatten(params)
    assert vector.tolist() == [0, 1, 2, 3, 4, 5, 7, 8, 9]
    again = unflatten(vector, params)
    assert list(again) == list(params)
    assert all(again[name].shape == value.shape and
               np.array_equal(again[name], value) for name, value in params.items())
    vector[:] = 0
    assert params["w"][0] == 8 and again["w"][0] == 0               # flatten copies, unflatten does not
    assert flatten({"w": np.ones(2, np.float32)}).dtype == np.float32
    with pytest.raises(ValueError, match=r"^vector: expected shape \(9,\)"):
        unflatten(vector[1:], params)


def test_same_shapes_names_what_differs():
    shapes = {"W": (2, 3), "c": ()}
    same_shapes("params", {"c": np.zeros(()), "W": np.zeros((2, 3))}, shapes)
    with pytest.raises(ValueError, match=r"^params: expected the arrays W, c, got 'W'$"):
        same_shapes("params", {"W": np.zeros((2, 3))}, shapes)
    with pytest.raises(ValueError, match="^params: expected the arrays W, c, got 'W, c, d'$"):
        same_shapes("params", {"W": np.zeros((2, 3)), "c": 0, "d": 0}, shapes)
    with pytest.raises(ValueError, match=r"^params\['W'\]: expected shape \(2, 3\), got .* of shape \(3, 2\)$"):
        same_shapes("params", {"W": np.zeros((3, 2)), "c": 0}, shapes)


def test_arrays_and_header_come_back_bit_for_bit(tmp_path):
    path = tmp_path / "model"                                       # the name is kept: no suffix is added
    save_arrays(path, ARRAYS, names=["a", "ü"], seed=3)
    arrays, header = load_arrays(path)
    assert header == {"format": FORMAT, "version": VERSION, "names": ["a", "ü"], "seed": 3}
    assert list(arrays) == list(ARRAYS)
    for name, value in ARRAYS.items():
        assert (arrays[name].dtype, arrays[name].shape) == (value.dtype, value.shape)
        assert arrays[name].tobytes() == value.tobytes()
    save_arrays(path, ARRAYS, **{**header, "format": 99, "version": "0"})
    assert load_arrays(path)[1] == header                           # the writer's format and version, not the caller's
    assert os.listdir(tmp_path) == ["model"]


def test_a_header_that_json_cannot_hold_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.npz"
    save_arrays(path, ARRAYS)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        save_arrays(path, ARRAYS, rng=np.random.default_rng(0))
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["model.npz"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_writer_that_raises_leaves_nothing_behind(tmp_path, old, error):
    path = tmp_path / "file"
    if old is not None:
        path.write_bytes(old)

    def write(file):
        file.write(b"half of it")
        raise error

    with pytest.raises(error):
        write_whole(path, write)
    assert os.listdir(tmp_path) == ([] if old is None else ["file"])
    assert old is None or path.read_bytes() == old


def test_a_written_file_has_the_mode_of_any_new_file(tmp_path):
    write_whole(tmp_path / "file", lambda file: file.write(b"new"))
    (tmp_path / "other").touch()
    assert (tmp_path / "file").read_bytes() == b"new"
    assert stat.S_IMODE(os.stat(tmp_path / "file").st_mode) == stat.S_IMODE(os.stat(tmp_path / "other").st_mode)


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("file")
    write_whole(tmp_path / "link", lambda file: file.write(b"new"))
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_bytes() == b"new"


def test_places_where_no_file_can_be(tmp_path):
    check_writable(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    for path, error in ((tmp_path, IsADirectoryError), (tmp_path / "no" / "file", FileNotFoundError),
                        (tmp_path / "pipe", FileExistsError)):
        for refuse in (check_writable, lambda path: write_whole(path, lambda file: None)):
            with pytest.raises(error, match=f"^{path}: "):
                refuse(path)
    assert os.listdir(tmp_path) == ["pipe"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_file_is_refused(tmp_path):
    (tmp_path / "file").touch(0o400)
    with pytest.raises(PermissionError):
        check_writable(tmp_path / "file")


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("content", [
    b"", b"no archive", b"PK\x03\x04 no archive", npy(np.zeros(3)), npy(np.array([None])), pickle.dumps({"header": 1}),
    npz(w=np.zeros(2)),
    npz(header=np.array("no json")), npz(header=np.array("[]")), npz(header=np.array("{}")), npz(header=np.zeros(3)),
    npz(header=np.array('{"format": 1}'), w=np.array([None])), npz(header=np.array(f'{{"format": {FORMAT + 1}}}'))])
def test_a_foreign_file_is_named(tmp_path, content):
    path = tmp_path / "model.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{path}: "):
        load_arrays(path)


def test_pickles_are_not_run(tmp_path):
    class Touch:
        def __reduce__(self):
            return open, (str(tmp_path / "touched"), "w")

    for name, content in (("a", pickle.dumps(Touch())), ("b", npz(header=np.array([Touch()], object)))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name):
            load_arrays(tmp_path / name)
    assert not (tmp_path / "touched").exists()


def test_a_damaged_file_is_named_or_read_unharmed(tmp_path):
    """Cut, or with one bit flipped: what is read all the same lacks whole arrays, or a byte of no meaning."""
    path = tmp_path / "model.npz"
    save_arrays(path, ARRAYS)
    whole = path.read_bytes()
    damaged = [whole[:n] for n in range(0, len(whole), 7)]
    for n in range(0, len(whole), 3):
        damaged.append(whole[:n] + bytes([whole[n] ^ 1 << n % 8]) + whole[n + 1:])
    named = 0
    for content in damaged:
        path.write_bytes(content)
        try:
            arrays, header = load_arrays(path)
        except ValueError as error:
            assert str(error).startswith(f"{path}: ")
            named += 1
        else:
            assert all(value.tobytes() == ARRAYS[name].tobytes() for name, value in arrays.items())
    assert named > 0.7 * len(damaged)


def test_a_missing_file_is_an_os_error(tmp_path):
    for path, error in ((tmp_path / "none", FileNotFoundError), (tmp_path, IsADirectoryError)):
        with pytest.raises(error):
            load_arrays(path)
