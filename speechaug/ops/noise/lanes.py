"""Arithmetic on many numbers at once, written out for numba: LLVM cuts it to the registers there are."""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types

_FLAGS = ("contract", "nsz")
_FLOAT = ir.FloatType()


class Lanes:
    """Numbers side by side, float32 or whole: a vector in the code that an intrinsic writes.

    Args:
        builder: of the intrinsic.
        value: a vector of LLVM.
    """

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value, self.count = builder, value, value.type.count

    def _with(self, other: Any, whole: str, real: str = "") -> Lanes:
        kind = self.value.type
        right = other.value if isinstance(other, Lanes) else ir.Constant(kind, [other] * self.count)
        if kind.element == _FLOAT:
            return Lanes(self.builder, getattr(self.builder, real)(self.value, right, flags=_FLAGS))
        return Lanes(self.builder, getattr(self.builder, whole)(self.value, right))

    def __add__(self, other: Any) -> Lanes:
        return self._with(other, "add", "fadd")

    def __sub__(self, other: Any) -> Lanes:
        return self._with(other, "sub", "fsub")

    def __mul__(self, other: Any) -> Lanes:
        return self._with(other, "mul", "fmul")

    def __xor__(self, other: Any) -> Lanes:
        return self._with(other, "xor")

    def __and__(self, other: Any) -> Lanes:
        return self._with(other, "and_")

    def __lshift__(self, other: Any) -> Lanes:
        return self._with(other, "shl")

    def __rshift__(self, other: Any) -> Lanes:
        return self._with(other, "lshr")

    def polynomial(self, *coefficients: float) -> Lanes:
        """The highest power first."""
        total = self * coefficients[0] + coefficients[1]
        for coefficient in coefficients[2:]:
            total = total * self + coefficient
        return total

    def sqrt(self) -> Lanes:
        kind = self.value.type
        signature = ir.FunctionType(kind, [kind])
        function: Any = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            self.builder.module, signature, f"llvm.sqrt.v{self.count}f32"
        )
        return Lanes(self.builder, self.builder.call(function, [self.value]))

    def to_float(self) -> Lanes:
        """The same numbers; whole ones of 32 bits, with a sign."""
        return Lanes(self.builder, self.builder.sitofp(self.value, ir.VectorType(_FLOAT, self.count)))

    def bits(self) -> Lanes:
        """Of float32 numbers."""
        return Lanes(self.builder, self.builder.bitcast(self.value, ir.VectorType(ir.IntType(32), self.count)))

    def float_of_bits(self) -> Lanes:
        return Lanes(self.builder, self.builder.bitcast(self.value, ir.VectorType(_FLOAT, self.count)))

    def where_negative(self, yes: Lanes, no: Lanes) -> Lanes:
        """Choose by the highest bit."""
        negative = self.builder.icmp_signed("<", self.value, ir.Constant(self.value.type, [0] * self.count))
        return Lanes(self.builder, self.builder.select(negative, yes.value, no.value))

    def take(self, places: list[int]) -> Lanes:
        """The numbers at ``places``."""
        chosen = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places)
        return Lanes(self.builder, self.builder.shuffle_vector(self.value, self.value, chosen))

    def folded(self, count: int) -> Lanes:
        """Halves added up until ``count`` numbers are left."""
        total = self
        while total.count > count:
            half = total.count // 2
            total = total.take(list(range(half))) + total.take(list(range(half, 2 * half)))
        return total

    def pairs(self) -> Lanes:
        """Pairs of 32-bit numbers as numbers of 64 bits, the first the lower half."""
        return Lanes(self.builder, self.builder.bitcast(self.value, ir.VectorType(ir.IntType(64), self.count // 2)))

    def widened(self) -> Lanes:
        """Whole numbers of 32 bits as numbers of 64 bits."""
        return Lanes(self.builder, self.builder.zext(self.value, ir.VectorType(ir.IntType(64), self.count)))

    def uppers(self) -> Lanes:
        """The upper halves of numbers of 64 bits, twice: where processors shift slower than they permute."""
        halves = self.builder.bitcast(self.value, ir.VectorType(ir.IntType(32), 2 * self.count))
        return Lanes(self.builder, halves).take([lane | 1 for lane in range(2 * self.count)]).pairs()

    def narrowed(self) -> Lanes:
        """The lower halves of numbers of 64 bits."""
        return Lanes(self.builder, self.builder.trunc(self.value, ir.VectorType(ir.IntType(32), self.count)))


def constant(builder: Any, numbers: list[int]) -> Lanes:
    """Whole numbers of 32 bits."""
    return Lanes(builder, ir.Constant(ir.VectorType(ir.IntType(32), len(numbers)), numbers))


def spread(builder: Any, value: Any, count: int) -> Lanes:
    """``count`` times a scalar."""
    kind = ir.VectorType(value.type, count)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), count), [0] * count)
    return Lanes(builder, builder.shuffle_vector(first, first, everywhere))


class Memory:
    """A flat array, from within an intrinsic; nothing checks a bound.

    Args:
        context: of the intrinsic.
        builder: of the intrinsic.
        kind: numba's type of the array.
        array: the array.
    """

    def __init__(self, context: Any, builder: Any, kind: Any, array: Any) -> None:
        is_pointer = isinstance(kind, types.CPointer)
        self._builder = builder
        self._data = array if is_pointer else context.make_array(kind)(context, builder, array).data

    def _at(self, place: Any) -> Any:
        index = ir.Constant(ir.IntType(64), place) if isinstance(place, int) else place
        return self._builder.gep(self._data, [index])

    def scalar(self, place: Any) -> Any:
        """Return the number at a place."""
        return self._builder.load(self._at(place))

    def load(self, place: Any, count: int) -> Lanes:
        """Return ``count`` numbers from ``place`` on."""
        pointer = self._at(place)
        kind = ir.VectorType(pointer.type.pointee, count)
        return Lanes(self._builder, self._builder.load(self._builder.bitcast(pointer, kind.as_pointer()), align=4))

    def store(self, numbers: Lanes, place: Any) -> None:
        """Set the numbers from ``place`` on."""
        pointer = self._builder.bitcast(self._at(place), numbers.value.type.as_pointer())
        self._builder.store(numbers.value, pointer, align=4)

    def prefetch(self, place: Any) -> None:
        """Have the cache line of a place on its way to the second cache."""
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        signature = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        fetch = self._builder.module.declare_intrinsic("llvm.prefetch", [byte], signature)
        pointer = self._builder.bitcast(self._at(place), byte)
        self._builder.call(fetch, [pointer, *(ir.Constant(number, flag) for flag in (0, 2, 1))])


def after(builder: Any, place: Any, more: int) -> Any:
    """Return ``place + more``."""
    return builder.add(place, ir.Constant(place.type, more))
