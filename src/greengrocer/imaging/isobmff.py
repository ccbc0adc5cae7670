"""Still images in the boxes of ISO base media files, as HEIC and AVIF have them (ISO 23008-12).

Only what is needed before decoding is read: which item is the image, what it is made from, how
large it is and how it is turned. Everything is bounded, for the event loop may call it: the number
of all boxes and values that are read, even if a list claims more.
"""

from collections.abc import Iterator
from typing import NamedTuple

MAX_BOXES = 4000  # in one box; a property is one, and tiles share theirs
MAX_ITEMS = 1000  # tiles included; a 50-megapixel photo has 200
MAX_PROPERTIES = 32  # of one item
MAX_REFERENCES = 2 * MAX_ITEMS  # a tile may be shown several times
MAX_EXTENTS = 2 * MAX_ITEMS  # encoders write one for each item
MAX_STEPS = 20_000  # boxes and numbers of all kinds; a tile takes about 20
MAX_BRANDS = 1000

# The most bytes of each property that is read; other properties are skipped.
LONGEST = {
    b"ispe": 12,
    b"irot": 1,
    b"imir": 1,
    b"clap": 32,
    b"auxC": 256,
    b"hvcC": 4096,
    b"av1C": 4096,  # a name; parameter sets, of which cameras write 100 bytes
}

HEIC_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"heif"}
)
AVIF_BRANDS = frozenset({b"avif", b"avis", b"avio", b"MA1A", b"MA1B"})
ANY_CODING = frozenset({b"mif1", b"mif2", b"mif3", b"msf1", b"miaf", b"1pic"})

Span = tuple[int, int]  # from where to where, in the file


class Damaged(Exception):
    """The boxes contradict each other, or end too early; the text says how."""


class Overfull(Damaged):
    """There is more in the file than any image has."""


class Box(NamedTuple):
    """A box: its type, the offset of that type, and the span of its content."""

    kind: bytes
    kind_at: int
    start: int
    end: int


class Item(NamedTuple):
    """An item: its type, and the offset of that type in the file."""

    kind: bytes
    kind_at: int


class Property(NamedTuple):
    """A property of an item: its size (ispe), how it is turned (irot), and so on."""

    kind: bytes
    content: bytes  # empty where ``LONGEST`` does not have the kind


class Meta:
    """The items of a file, by id: their types, locations, sources and properties."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = data
        self.data_size = len(data)
        self._steps = 0
        boxes = {box.kind: box for box in self._inside(self._meta())}
        try:
            properties = {box.kind: box for box in self._children(boxes[b"iprp"])}
            self.primary = self._read_primary(boxes[b"pitm"])
            self.items = self._read_items(boxes[b"iinf"])
            self._boxed = list(self._children(properties[b"ipco"]))
            self._indices = self._read_associations(properties[b"ipma"])
            self._extents = self._read_locations(boxes[b"iloc"], boxes.get(b"idat"))
        except KeyError as error:
            raise Damaged(f"has no box {error.args[0].decode('latin-1')!r}") from error
        self._properties: dict[int, Property] = {}
        self._sizes = {
            item: sum(end - start for start, end in spans) for item, spans in self._extents.items()
        }
        if max(self._sizes.values(), default=0) > self.data_size:
            raise Damaged("uses its bytes too often")
        references = boxes.get(b"iref")
        self.references = [] if references is None else list(self._read_references(references))
        self._made_from: dict[int, list[tuple[int, ...]]] = {}
        for reference in self.references:
            if reference.kind == b"dimg":
                self._made_from.setdefault(reference.of, []).append(reference.to)

    def boxes(self) -> Iterator[Box]:
        """The boxes of the file, up to bytes that are not a box: some cameras append other data.

        Raises Damaged where they are too many.
        """
        self._steps = 0
        try:
            yield from self._boxes(0, self.data_size)
        except Overfull:
            raise
        except Damaged:
            return

    def made_from(self, item: int) -> tuple[int, ...]:
        """The items that a derived ``item`` is made from, in order, repeats included."""
        found = self._made_from.get(item, [])
        return found[0] if len(found) == 1 else ()

    def properties(self, item: int) -> Iterator[Property]:
        """The properties of ``item``, in order. Raises Damaged."""
        for index in self._indices.get(item, ()):
            found = self._properties.get(index)
            yield found or self._read_property(index)

    def _read_property(self, index: int) -> Property:
        """Read once, however many items name it."""
        if not 0 < index <= len(self._boxed):
            raise Damaged("refers to a property that is missing")
        box = self._boxed[index - 1]
        content = b""
        if box.kind in LONGEST:
            if box.end - box.start > LONGEST[box.kind]:
                raise Damaged(f"has a property {box.kind.decode('latin-1')!r} that is too long")
            content = bytes(self._data[box.start : box.end])
        self._properties[index] = Property(box.kind, content)
        return self._properties[index]

    def content(self, item: int) -> bytes:
        """The bytes of ``item``, at most as many as the file has."""
        return b"".join(self._data[start:end] for start, end in self._extents.get(item, ()))

    def content_size(self, item: int) -> int:
        """How many bytes ``item`` has."""
        return self._sizes.get(item, 0)

    def _count(self, steps: int) -> None:
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise Overfull("has too many boxes and values")

    def _number(self, at: int, length: int) -> int:
        self._count(1)
        if at + length > len(self._data):
            raise Damaged("is truncated within its header")
        return int.from_bytes(self._data[at : at + length], "big")

    def _numbers(self, at: int, length: int, count: int) -> Iterator[int]:
        self._count(count)
        if at + count * length > self.data_size:
            raise Damaged("is truncated within its header")
        part = self._data[at : at + count * length]
        return (int.from_bytes(part[k : k + length], "big") for k in range(0, len(part), length))

    def _meta(self) -> Box:
        for box in self._boxes(0, len(self._data)):
            if box.kind == b"meta":
                return box
        raise Damaged("has no still image")

    def _inside(self, full: Box) -> Iterator[Box]:
        """The boxes in one that begins with a version and flags; each type once."""
        seen = set()
        for box in self._boxes(full.start + 4, full.end):
            if box.kind in seen and box.kind not in {b"free", b"skip", b"uuid"}:
                raise Damaged(f"has two boxes {box.kind.decode('latin-1')!r}")
            seen.add(box.kind)
            yield box

    def _children(self, box: Box) -> Iterator[Box]:
        return self._boxes(box.start, box.end)

    def _boxes(self, at: int, end: int) -> Iterator[Box]:
        for _ in range(MAX_BOXES):
            if at + 8 > end:
                return
            size, kind_at, start = self._number(at, 4), at + 4, at + 8
            kind = bytes(self._data[kind_at:start])
            if size == 1:
                size, start = self._number(start, 8), start + 8
            elif size == 0:
                size = end - at
            if size < start - at:
                raise Damaged("has a box that is smaller than its header")
            # the last box may be truncated: the decoder notices
            yield Box(kind, kind_at, start, min(at + size, end))
            at += size
        raise Overfull(f"has more than {MAX_BOXES} boxes in one")

    def _version(self, box: Box) -> int:
        return self._number(box.start, 1)

    def _read_primary(self, box: Box) -> int:
        return self._number(box.start + 4, 2 if self._version(box) == 0 else 4)

    def _read_items(self, box: Box) -> dict[int, Item]:
        wide = 2 if self._version(box) == 0 else 4
        items: dict[int, Item] = {}
        for infe in self._boxes(box.start + 4 + wide, box.end):
            version = self._version(infe)
            if infe.kind != b"infe" or version < 2:
                continue
            wide = 2 if version == 2 else 4
            number, at = self._number(infe.start + 4, wide), infe.start + 6 + wide
            if number in items or len(items) == MAX_ITEMS:
                raise Damaged("has a repeated item or too many items")
            items[number] = Item(self._number(at, 4).to_bytes(4, "big"), at)
        return items

    def _read_associations(self, box: Box) -> dict[int, list[int]]:
        wide = 2 if self._version(box) == 0 else 4
        step = 2 if self._number(box.start + 3, 1) & 1 else 1
        count, at = self._number(box.start + 4, 4), box.start + 8
        if count > MAX_ITEMS:
            raise Damaged("has too many items")
        indices: dict[int, list[int]] = {}
        for _ in range(count):
            item, many = self._number(at, wide), self._number(at + wide, 1)
            if item in indices or many > MAX_PROPERTIES:
                raise Damaged("has an item with repeated or too many properties")
            at += wide + 1
            low = (1 << 8 * step - 1) - 1  # the highest bit says how much the property matters
            indices[item] = [number & low for number in self._numbers(at, step, many)]
            at += many * step
        return indices

    def _read_references(self, box: Box) -> Iterator["Reference"]:
        wide = 2 if self._version(box) == 0 else 4
        total = 0
        for one in self._boxes(box.start + 4, box.end):
            count, at = self._number(one.start + wide, 2), one.start + wide + 2
            total += count
            if total > MAX_REFERENCES:
                raise Damaged("has too many references")
            to = tuple(self._numbers(at, wide, count))
            yield Reference(one.kind, self._number(one.start, wide), to)

    def _read_locations(self, box: Box, inner: Box | None) -> dict[int, list[Span]]:
        version, sizes = self._version(box), self._number(box.start + 4, 2)
        offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
        index_size = sizes & 15 if version else 0
        wide = 4 if version == 2 else 2
        count, at = self._number(box.start + 6, wide), box.start + 6 + wide
        if count > MAX_ITEMS:
            raise Damaged("has too many items")
        found: dict[int, list[Span]] = {}
        spans = 0
        for _ in range(count):
            item, at = self._number(at, wide), at + wide
            method = self._number(at, 2) & 15 if version else 0
            at += 4 if version else 2
            base, extents = self._number(at, base_size), self._number(at + base_size, 2)
            at += base_size + 2
            spans += extents
            if item in found or spans > MAX_EXTENTS:
                raise Damaged("has an item with two locations, or too many extents")
            found[item] = []
            for _ in range(extents):
                at += index_size
                start, length = (
                    base + self._number(at, offset_size),
                    self._number(at + offset_size, length_size),
                )
                at += offset_size + length_size
                found[item].append(self._span(method, start, length, inner))
        return found

    def _span(self, method: int, start: int, length: int, inner: Box | None) -> Span:
        if method == 0:
            return min(start, self.data_size), min(start + length, self.data_size)
        if method == 1 and inner is not None:
            start += inner.start
            return min(start, inner.end), min(start + length, inner.end)
        return 0, 0  # in another item, which is never needed


class Reference(NamedTuple):
    """A reference from an item to others: dimg, its sources; auxl, what it belongs to."""

    kind: bytes
    of: int
    to: tuple[int, ...]


def name_of(data: bytes | memoryview) -> str | None:
    """HEIC, AVIF or HEIF by the brands of a file that begins with ``ftyp``; None: a film.

    The first brand counts most, where it says how images are coded; the others come after it.
    """
    size, start = int.from_bytes(data[:4], "big"), 8
    if size == 1:
        size, start = int.from_bytes(data[8:16], "big"), 16
    end = min(len(data), size or len(data), start + 4 * MAX_BRANDS)
    places = (start, *range(start + 8, end - 3, 4))
    brands = [bytes(data[at : at + 4]) for at in places]
    for brand in brands:
        if brand in HEIC_BRANDS:
            return "HEIC"
        if brand in AVIF_BRANDS:
            return "AVIF"
    return "HEIF" if brands[0] in ANY_CODING else None
