"""Eight floats at once in numba's kernels, where its own vectoriser loses: they stay in one register.

LLVM cuts them in two where registers are narrower. Nothing here checks a bound.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

_VECTOR = ir.VectorType(ir.FloatType(), 8)
_INDEX = ir.IntType(32)


class _Float8(types.Type):
    """The type of eight float32."""

    def __init__(self) -> None:
        super().__init__(name="Float8")


float8 = _Float8()


@register_model(_Float8)
class _Float8Model(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _VECTOR)  # type: ignore[no-untyped-call]


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())


def _shuffle(builder: Any, a: Any, b: Any, lanes: list[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_INDEX, 8), lanes))


@intrinsic
def load(typingctx: Any, array: Any, index: Any) -> Any:
    """``array[index : index + 8]``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_pointer(context, builder, signature.args[0], *args), align=4)

    return float8(array, types.intp), codegen


@intrinsic
def store(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """``array[index : index + 8] = value``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _pointer(context, builder, signature.args[0], *args[:2]), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, float8), codegen


@intrinsic
def spread(typingctx: Any, value: Any) -> Any:
    """Eight times ``value``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), args[0], ir.Constant(_INDEX, 0))
        return _shuffle(builder, one, one, [0] * 8)

    return float8(types.float32), codegen


@intrinsic
def multiply_add(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``, rounded once where the processor can."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        name = "llvm.fmuladd.v8f32"
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        function = cgutils.get_or_insert_function(builder.module, kind, name)  # type: ignore[no-untyped-call]
        return builder.call(function, args)

    return float8(float8, float8, float8), codegen


@intrinsic
def multiply(typingctx: Any, a: Any, b: Any) -> Any:
    """``a * b``."""
    return float8(float8, float8), lambda context, builder, signature, args: builder.fmul(*args)


@intrinsic
def add(typingctx: Any, a: Any, b: Any) -> Any:
    """``a + b``."""
    return float8(float8, float8), lambda context, builder, signature, args: builder.fadd(*args)


@intrinsic
def even_odd(typingctx: Any, even: Any, odd: Any, upper: Any) -> Any:
    """Half of ``even[0], odd[0], even[1], ...``: the upper eight where ``upper`` is True."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        low = _shuffle(builder, args[0], args[1], [0, 8, 1, 9, 2, 10, 3, 11])
        high = _shuffle(builder, args[0], args[1], [4, 12, 5, 13, 6, 14, 7, 15])
        return builder.select(args[2], high, low)

    return float8(float8, float8, types.boolean), codegen


@intrinsic
def every_other(typingctx: Any, a: Any, b: Any, first: Any) -> Any:
    """Every other value of the sixteen in ``a`` and ``b``, from the second on where ``first`` is True."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        even, odd = (_shuffle(builder, args[0], args[1], list(range(start, 16, 2))) for start in (0, 1))
        return builder.select(args[2], odd, even)

    return float8(float8, float8, types.boolean), codegen


@intrinsic
def sums(typingctx: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> Any:
    """The sums of eight vectors, in their order."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def joined(a: Any, b: Any, first: list[int], second: list[int]) -> Any:
            return builder.fadd(_shuffle(builder, a, b, first), _shuffle(builder, a, b, second))

        # within each half of the register, where moving is cheap, until the last step
        pairs = [
            joined(args[i], args[i + 1], [0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15]) for i in (0, 2, 4, 6)
        ]
        fours = [
            joined(pairs[i], pairs[i + 1], [0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]) for i in (0, 2)
        ]
        return joined(fours[0], fours[1], [0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15])

    return float8(*[float8] * 8), codegen
