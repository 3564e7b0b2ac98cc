"""Attention's options against libraries that know nothing of minitf: PyTorch's autograd, JAX, ONNX Attention-25."""
import numpy as np
import pytest
from ops.loops import NAMES, draw, may

from minitf import attention, attention_tangent


def close(x, y, tol=1e-12):
    y = np.asarray(y)
    finite = ~np.isneginf(y)
    assert x.shape == y.shape and np.array_equal(np.isneginf(x), ~finite)
    assert np.linalg.norm(x[finite] - y[finite]) <= tol * max(np.linalg.norm(y[finite]), 1e-6)


def formula(torch, args, options):
    """out and lse as a formula that autograd differentiates: the sink is one more column of the scores."""
    q, k, v = args["q"], args["k"], args["v"]
    share = 1 if q.ndim == 2 else q.shape[-3] // k.shape[-3]
    k, v = (x.repeat_interleave(share, dim=-3) if share > 1 else x for x in (k, v))
    S = q @ k.transpose(-1, -2) * options.get("scale", q.shape[-1] ** -0.5)
    if "softcap" in options:
        S = options["softcap"] * torch.tanh(S / options["softcap"])
    Tq, Tk = S.shape[-2:]
    S = S + args.get("bias", 0.0)
    mask, ids = options.get("mask"), options.get("segments")
    meet = [[may(i, j, Tq, Tk, None, options.get("causal", False), options.get("window"), None) for j in range(Tk)]
            for i in range(Tq)]
    blocked = ~torch.tensor(meet, dtype=torch.bool).reshape(Tq, Tk)
    if mask is not None and mask.dtype == bool:
        blocked = blocked | ~torch.tensor(mask)
    elif mask is not None:
        blocked, S = blocked | torch.tensor(np.isneginf(mask)), S + torch.tensor(np.where(np.isneginf(mask), 0, mask))
    if ids is not None:
        apart = torch.tensor(ids[0])[..., :, None] != torch.tensor(ids[1])[..., None, :]
        blocked = blocked | (apart if q.ndim == 2 else apart[..., None, :, :])
    S = S.masked_fill(blocked, -torch.inf)
    if "sinks" in args:
        S = torch.cat([S, args["sinks"][..., None, None].expand(*S.shape[:-1], 1)], dim=-1)
    empty = torch.isneginf(S).all(dim=-1, keepdim=True)
    A = torch.softmax(S.masked_fill(empty, 0.0), dim=-1).masked_fill(empty, 0.0)[..., :Tk]
    lse = torch.logsumexp(S.masked_fill(empty, 0.0), dim=-1).masked_fill(empty[..., 0], -torch.inf)
    kept = A * torch.tensor(np.asarray(options["keep"])) if "keep" in options else A
    return kept @ v, lse


@pytest.mark.parametrize("names", [[name] for name in NAMES] + [list(NAMES)] + list(range(30)), ids=str)
def test_autograd_of_pytorch_on_the_formula(names):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(names if isinstance(names, int) else 40 + len(names[0]))
    heads = [(4, 2), (2, 2), (None, None)][rng.integers(3)]
    args, options = draw(rng, () if heads[0] is None else (2,), heads, some=names if isinstance(names, list) else None)
    leaves = {name: torch.tensor(x, requires_grad=True) for name, x in args.items()}
    twins = formula(torch, leaves, options)
    outs, pullback = attention(**args, **options, lse=True)
    for x, y in zip(outs, twins):
        close(x, y.detach().numpy())
    dout, dlse = (rng.standard_normal(x.shape) for x in outs)
    met = torch.tensor(~np.isneginf(outs[1]))
    loss = (twins[0] * torch.tensor(dout)).sum() + (twins[1][met] * torch.tensor(dlse)[met]).sum()
    exact = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
    for x, y in zip(pullback((dout, dlse)), exact, strict=True):
        close(x, y.numpy())
    dots = {name: rng.standard_normal(x.shape) for name, x in args.items()}
    _, (out_dot, _) = attention_tangent(**args, **{f"{n}_dot": x for n, x in dots.items()}, **options, lse=True)
    _, twin = torch.autograd.functional.jvp(
        lambda *xs: formula(torch, dict(zip(args, xs)), options)[0], tuple(torch.tensor(x) for x in args.values()),
        tuple(torch.tensor(x) for x in dots.values()))
    close(out_dot, twin.numpy())


@pytest.mark.parametrize("shape", [(2, 4, 5, 7), (1, 4, 5, 7), (2, 1, 5, 7), (1, 1, 5, 7), (1, 1, 1, 7)])
@pytest.mark.parametrize("window", [None, (2, 1), (0, 3)])
def test_jax_with_a_bias_and_a_window(shape, window):
    """JAX lays heads out as (B, T, H, d) and computes its softmax in float32 at any input: hence the tolerance."""
    jax = pytest.importorskip("jax")
    rng = np.random.default_rng(3)
    B, H, G, Tq, Tk, d = 2, 4, 2, 5, 5 if window else 7, 3
    q, k, v = rng.standard_normal((B, H, Tq, d)), rng.standard_normal((B, G, Tk, d)), rng.standard_normal((B, G, Tk, d))
    bias = rng.standard_normal((*shape[:3], Tk))
    dout = rng.standard_normal((B, H, Tq, d))
    q, k, v, bias, dout = (x.astype(np.float32) for x in (q, k, v, bias, dout))
    turn = lambda x: np.swapaxes(x, 1, 2)
    peer = lambda q, k, v, bias: jax.nn.dot_product_attention(q, k, v, bias, local_window_size=window)
    twin, vjp = jax.vjp(peer, turn(q), turn(k), turn(v), bias)
    dq, dk, dv, dbias = (np.asarray(x) for x in vjp(turn(dout)))
    out, pullback = attention(q, k, v, bias=bias, window=window)
    for x, y in zip((out, *pullback(dout)), (turn(np.asarray(twin)), turn(dq), turn(dk), turn(dv), dbias), strict=True):
        close(x, y, 3e-6)


@pytest.mark.parametrize("left, right", [(0, 0), (2, 0), (1, 3), (None, 1), (2, None)])
@pytest.mark.parametrize("Tq, Tk, past", [(5, 5, 0), (3, 7, 0), (7, 3, 0), (3, 3, 4)])
def test_the_window_of_onnx_attention_25(left, right, Tq, Tk, past):
    """ONNX: -1 is no limit; top-left without a cache, and after `past` keys of one query 0 stands at key `past`: bottom-right."""
    pytest.importorskip("onnx")
    from onnx import TensorProto, defs, helper
    if defs.onnx_opset_version() < 25 or "left_window_size" not in defs.get_schema("Attention").attributes:
        pytest.skip("this ONNX has no Attention-25 with a window")
    from onnx.reference import ReferenceEvaluator
    rng = np.random.default_rng(4)
    arrays = {"Q": rng.standard_normal((2, 4, Tq, 3)), "K": rng.standard_normal((2, 2, Tk, 3)),
              "V": rng.standard_normal((2, 2, Tk, 3)), "mask": rng.random((Tq, past + Tk)) < 0.9}
    if past:
        arrays |= {name: rng.standard_normal((2, 2, past, 3)) for name in ("past_key", "past_value")}
    kinds = {name: TensorProto.BOOL if x.dtype == bool else TensorProto.DOUBLE for name, x in arrays.items()}
    node = helper.make_node("Attention", list(arrays), ["Y", "pk", "pv"][:3 if past else 1],
                            left_window_size=-1 if left is None else left, right_window_size=-1 if right is None else right)
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info(n, kinds[n], x.shape) for n, x in arrays.items()],
                              [helper.make_tensor_value_info("Y", TensorProto.DOUBLE, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", defs.onnx_opset_version())])
    Y, = ReferenceEvaluator(model).run(["Y"], arrays)
    k, v = (np.concatenate([arrays[p], arrays[n]], axis=2) if past else arrays[n]
            for n, p in (("K", "past_key"), ("V", "past_value")))
    out, _ = attention(arrays["Q"], k, v, mask=arrays["mask"], window=(left, right, "bottom-right" if past else "top-left"))
    close(out, Y)
