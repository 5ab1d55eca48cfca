"""What a JSON Schema refers to: it must stand in the schema itself, and lead further into the value. Pure.

A reference to an address would be fetched from the network by whoever checks an answer, or not be there; one that leads back to
where it stands would be followed for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

_REFERENCES: Final = ("$ref", "$dynamicRef")
_LISTS: Final = ("allOf", "anyOf", "oneOf")
_ONES: Final = ("not", "if", "then", "else")
_Place = tuple[Any, Any]
"""A schema (a resource of the library), and what resolves its references."""


def misreferred(schema: Mapping[str, Any]) -> str:
    """What is wrong with the references of a schema that is valid otherwise, in words; empty where nothing is."""
    from referencing.exceptions import Unresolvable

    places = list(_all(_root(schema)))
    for place in places:
        for target in _targets(place):
            try:
                place[1].lookup(target)
            except Unresolvable:
                return f"{target!r} is not in the schema itself, and nothing is fetched"
    return _round(places)


def _root(schema: Mapping[str, Any]) -> _Place:
    """Without anything that fetches; the schemas of the standard itself are known."""
    from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped] # jsonschema needs it too; it has no types
    from referencing import Registry
    from referencing.jsonschema import DRAFT202012

    resource = DRAFT202012.create_resource(dict(schema))
    registry: Registry[Any] = REGISTRY.combine(Registry().with_resource("", resource))
    return resource, registry.resolver_with_root(resource)


def _all(root: _Place) -> Iterator[_Place]:
    todo = [root]
    while todo:
        resource, resolver = todo.pop()
        yield resource, resolver
        todo += [(each, resolver.in_subresource(each)) for each in resource.subresources()]


def _targets(place: _Place) -> list[str]:
    schema = place[0].contents
    return [schema[key] for key in _REFERENCES if key in schema] if isinstance(schema, Mapping) else []


def _round(places: list[_Place]) -> str:
    """Follow what is checked of the same value, from each place once; what comes back to a place on its own way goes round."""
    done: set[int] = set()
    for start in places:
        way: dict[int, Iterator[_Place]] = {id(start[0].contents): _of_same_value(start)}
        while way:
            last = next(reversed(way))
            following = next(way[last], None)
            if following is None:
                done.add(last)
                del way[last]
                continue
            key = id(following[0].contents)
            if key in way:
                return "a $ref leads back to itself without going further into the value"
            if key not in done:
                way[key] = _of_same_value(following)
    return ""


def _of_same_value(place: _Place) -> Iterator[_Place]:
    """The schemas that a value of this one is checked against as well."""
    from referencing.jsonschema import DRAFT202012

    resource, resolver = place
    schema = resource.contents
    if not isinstance(schema, Mapping):
        return
    for target in _targets(place):
        found = resolver.lookup(target)
        yield DRAFT202012.create_resource(found.contents), found.resolver
    inner = [each for key in _LISTS for each in schema.get(key, ())]
    inner += [schema[key] for key in _ONES if key in schema]
    inner += list(schema.get("dependentSchemas", {}).values())
    for each in inner:
        sub = DRAFT202012.create_resource(each)
        yield sub, resolver.in_subresource(sub)
