"""Eight numbers at once, float32 or float64, for numba: vectors LLVM maps to whatever registers there are."""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic, models, overload, register_model

WIDTH = 8
"""Numbers in a vector."""

_FLAGS = ("contract", "nsz", "reassoc")


class _Lanes(types.Type):
    def __init__(self, number: types.Type) -> None:
        super().__init__(name=f"lanes({number})")
        self.vector = ir.VectorType(ir.FloatType() if number == types.float32 else ir.DoubleType(), WIDTH)


@register_model(_Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: _Lanes) -> None:
        super().__init__(manager, kind, kind.vector)  # type: ignore[no-untyped-call]


def _binary(name: str) -> Any:
    @intrinsic
    def apply(typing: Any, a: types.Type, b: types.Type) -> Any:
        def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
            return getattr(builder, name)(*args, flags=_FLAGS)

        return a(a, b), emit

    return apply


_add, _sub, _mul = (_binary(name) for name in ("fadd", "fsub", "fmul"))


@overload(operator.add)
def _plus(a, b):  # type: ignore[no-untyped-def]
    return (lambda a, b: _add(a, b)) if isinstance(a, _Lanes) and a == b else None


@overload(operator.sub)
def _minus(a, b):  # type: ignore[no-untyped-def]
    return (lambda a, b: _sub(a, b)) if isinstance(a, _Lanes) and a == b else None


@overload(operator.mul)
def _times(a, b):  # type: ignore[no-untyped-def]
    return (lambda a, b: _mul(a, b)) if isinstance(a, _Lanes) and a == b else None


def _place(context: Any, builder: ir.IRBuilder, kind: types.Array, array: Any, index: Any) -> Any:
    data = context.make_array(kind)(context, builder, value=array).data
    return builder.bitcast(builder.gep(data, [index]), _Lanes(kind.dtype).vector.as_pointer())


@intrinsic
def load(typing: Any, array: types.Array, index: types.Integer) -> Any:
    """Return ``array[index : index + 8]`` of a flat array."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return builder.load(_place(context, builder, signature.args[0], *args), align=4)

    return _Lanes(array.dtype)(array, types.intp), emit


@intrinsic
def store(typing: Any, array: types.Array, index: types.Integer, value: types.Type) -> Any:
    """Set ``array[index : index + 8]`` of a flat array."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        builder.store(args[2], _place(context, builder, signature.args[0], *args[:2]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), emit


@intrinsic
def splat(typing: Any, value: types.Float) -> Any:
    """Return a vector of eight times ``value``."""
    kind = _Lanes(value)

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        empty = ir.Constant(kind.vector, ir.Undefined)
        first = builder.insert_element(empty, args[0], ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(first, empty, _indices([0] * WIDTH))

    return kind(value), emit


def _indices(places: list[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places)


@intrinsic
def transpose(typing: Any, rows: types.UniTuple) -> Any:
    """Turn eight vectors into eight others: number ``k`` of vector ``i`` becomes number ``i`` of vector ``k``."""

    def emit(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        vectors = [builder.extract_value(args[0], i) for i in range(WIDTH)]
        for half in (1, 2, 4):  # swap the off-diagonal blocks of this size
            low = [i + WIDTH - half if i & half else i for i in range(WIDTH)]
            high = [i + WIDTH if i & half else i + half for i in range(WIDTH)]
            for i in (i for i in range(WIDTH) if i & half == 0):
                pair = vectors[i], vectors[i + half]
                vectors[i] = builder.shuffle_vector(*pair, _indices(low))
                vectors[i + half] = builder.shuffle_vector(*pair, _indices(high))
        packed = context.get_constant_undef(signature.return_type)
        for i, vector in enumerate(vectors):
            packed = builder.insert_value(packed, vector, i)
        return packed

    return rows(rows), emit
