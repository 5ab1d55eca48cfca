"""What a JSON Schema refers to: it must stand in the schema itself, be a schema, and lead further into the value. Pure.

A reference to an address would be fetched from the network by whoever checks an answer, or not be there; one that leads back to
where it stands would be followed for ever. What passes here, ``jsonschema`` can follow with any answer: so everything is looked
at that a check may come to, as that library comes to it, and no more than that (an unknown key holds no schema until a reference
leads there).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

MOST_STEPS: Final = 50
"""Schemas, one behind the other, that one value may have to be checked against: each takes several calls of Python's stack."""
_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_REFERENCES: Final = ("$ref", "$dynamicRef")
_LISTS: Final = ("allOf", "anyOf", "oneOf")
_ONES: Final = ("not", "if", "then", "else")
_BASE_STAYS: Final = ("contains",)
"""Of what is further in the value: ``jsonschema`` checks it without regard to an ``$id`` of its own, as it does with some of those
of the same value."""
_Schema = Mapping[str, Any]
_Resolver = Any
"""The library gives its type no name."""
_Place = tuple[Any, _Resolver]
"""A schema, and what resolves its references."""
_Key = tuple[int, int]
"""A place: the schema's identity, and that of the one with whose ``$id`` its references begin."""


class _Fault(Exception):
    """What is wrong, in words."""


def misreferred(schema: _Schema) -> str:
    """What is wrong with the references of a schema that is valid otherwise, in words; empty where nothing is."""
    try:
        walk = _Walk(dict(schema))
        walk.walk()
    except _Fault as fault:
        return str(fault)
    return _too_far(walk.same)


class _Walk:
    """Over all places that a check can come to, each once. ``same``: the places that a value of each is checked against as well."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.same: dict[_Key, list[_Key]] = {}
        self._root = root
        self._known: set[int] = set()
        """Schemas that are surely some: by identity."""
        self._anchors: dict[str, list[Any]] = {}
        """Those with a ``$dynamicAnchor``, by its name."""
        self._standard: set[int] = set()
        self._todo: list[_Place] = [(root, self._resolver())]

    def walk(self) -> None:
        """Raises :class:`_Fault`."""
        while self._todo:
            schema, resolver = self._todo.pop()
            if isinstance(schema, Mapping):
                key = _key(schema, resolver)
                if key not in self.same:
                    self.same[key] = []
                    self._open(key, schema, resolver)

    def _resolver(self) -> _Resolver:
        """Without anything that fetches; the schemas of the standard itself are known."""
        from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped] # jsonschema needs it too; it has no types
        from referencing import Registry
        from referencing.jsonschema import DRAFT202012

        for each in REGISTRY.values():
            self._standard.add(id(each.contents))
            self._note_anchor(each.contents)
        self._learn(self._root)
        resource = DRAFT202012.create_resource(self._root)
        uri = resource.id() or ""
        before: Registry[Any] = REGISTRY.with_resource(uri, resource)
        try:  # all at once: a registry that is not crawled yet would be with each look
            registry = before.crawl()
        except ValueError as error:
            raise _Fault(f"an $id in it is no address ({error})") from error
        for known in before:  # a check would find the one or the other, by what it has come by
            if registry.contents(known) is not before.contents(known):
                raise _Fault(f"the $id {known!r} stands for two schemas")
        return registry.resolver(uri)

    def _learn(self, schema: Any) -> None:
        """It is a schema, and what stands in it where schemas do are some too."""
        from referencing.jsonschema import DRAFT202012

        todo = [schema]
        while todo:
            each = todo.pop()
            if id(each) in self._known or not isinstance(each, Mapping):
                continue
            self._known.add(id(each))
            self._note_anchor(each)
            if each is not self._root:
                self._check_draft(each)
            todo += DRAFT202012.subresources_of(each)

    def _note_anchor(self, schema: _Schema) -> None:
        name = schema.get("$dynamicAnchor")
        if isinstance(name, str):
            self._anchors.setdefault(name, []).append(schema)

    def _check_draft(self, schema: _Schema) -> None:
        """The library would go on by another one, of which nobody has looked whether this fits it."""
        draft = schema.get("$schema", _DRAFT)
        if draft.rstrip("#") != _DRAFT and id(schema) not in self._standard:
            raise _Fault(f"$schema is {draft!r} in it, and answers are checked by {_DRAFT}")

    def _open(self, key: _Key, schema: _Schema, resolver: _Resolver) -> None:
        """What a check goes on to from here."""
        from referencing.jsonschema import DRAFT202012

        for target in [schema[name] for name in _REFERENCES if name in schema]:
            for place in self._referred(target, resolver):
                self._go_on(place, key)
        inner = [each for name in _LISTS for each in schema.get(name, ())]
        inner += [schema[name] for name in _ONES if name in schema]
        inner += schema.get("dependentSchemas", {}).values()
        for each in inner:
            for place in _inside(each, resolver, base_stays=True):
                self._go_on(place, key)
        of_same = set(map(id, inner))
        stays = {id(schema[name]) for name in _BASE_STAYS if name in schema}
        for each in DRAFT202012.subresources_of(schema):
            if id(each) not in of_same:
                self._todo += _inside(each, resolver, base_stays=id(each) in stays)

    def _go_on(self, place: _Place, key: _Key) -> None:
        schema, resolver = place
        if isinstance(schema, Mapping):
            self.same[key].append(_key(schema, resolver))
            self._todo.append(place)

    def _referred(self, target: str, resolver: _Resolver) -> Iterator[_Place]:
        """Where a reference leads: to more than one place where that is known only with the way of a check."""
        from referencing.exceptions import Unresolvable

        try:
            found = resolver.lookup(target)
        except (Unresolvable, LookupError, ValueError, TypeError, AttributeError) as error:
            # the library follows a path through whatever stands there, and says so in errors of its parts
            raise _Fault(f"{target!r} is not in the schema itself, and nothing is fetched") from error
        self._check_is_schema(target, found.contents)
        yield found.contents, found.resolver
        address, _, name = target.partition("#")
        if isinstance(found.contents, Mapping) and name and found.contents.get("$dynamicAnchor") == name:
            whole = resolver.lookup(f"{address}#").resolver
            for each in self._anchors.get(name, ()):
                yield from _inside(each, whole)

    def _check_is_schema(self, target: str, contents: Any) -> None:
        """What stands under an unknown key has not been looked at yet."""
        if isinstance(contents, bool) or id(contents) in self._known or id(contents) in self._standard:
            if contents is self._root:
                self._check_draft(contents)
            return
        fault = unfit(contents) if isinstance(contents, Mapping) else "it is neither an object nor true or false"
        if fault:
            raise _Fault(f"{target!r} leads to what is no schema: {fault}")
        self._learn(contents)


def unfit(schema: Any) -> str:
    """Why something is no JSON Schema, in words with the place; its references are not looked at. Empty where it is one."""
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = ".".join(map(str, error.absolute_path))
        return f"{where or 'it'}: {error.message[:120]}"
    return ""


def _inside(schema: Any, resolver: _Resolver, *, base_stays: bool = False) -> Iterator[_Place]:
    """A schema within another: with an ``$id`` of its own, and as well without it where the library may not regard that."""
    from referencing.jsonschema import DRAFT202012

    if not isinstance(schema, Mapping):
        return
    try:
        yield schema, resolver.in_subresource(DRAFT202012.create_resource(schema))
    except ValueError as error:
        raise _Fault(f"an $id in it is no address ({error})") from error
    if base_stays and "$id" in schema:
        yield schema, resolver


def _key(schema: _Schema, resolver: _Resolver) -> _Key:
    from referencing.exceptions import Unresolvable

    try:
        return id(schema), id(resolver.lookup("#").contents)
    except Unresolvable:  # an $id under an unknown key: nothing is found from there
        return id(schema), 0


def _too_far(same: Mapping[_Key, list[_Key]]) -> str:
    """Follow what is checked of the same value, from each place once; what comes back to a place on its own way goes round."""
    steps: dict[_Key, int] = {}
    """How many schemas are behind each, itself counted; of those that are done."""
    for start in same:
        way: dict[_Key, Iterator[_Key]] = {} if start in steps else {start: iter(same[start])}
        while way:
            last = next(reversed(way))
            following = next(way[last], None)
            if following is None:
                steps[last] = 1 + max((steps[each] for each in same[last]), default=0)
                del way[last]
            elif following in way:
                return "a $ref leads back to itself without going further into the value"
            elif following not in steps:
                way[following] = iter(same[following])
    if max(steps.values()) > MOST_STEPS:
        return f"a value would be checked against more than {MOST_STEPS} schemas, one behind the other"
    return ""
