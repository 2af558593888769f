"""Feature references as text: ``view:feature``, and ``view@2:feature`` for a pinned version."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from featurestore.errors import FeatureNotFound
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import FeatureRef, FieldNode, OnlineViewNode, ServiceNode

__all__ = ["Features", "Reference", "find_field", "parse_reference", "references", "requested_features", "suggest"]

Features: TypeAlias = Sequence[str] | str | ServiceNode
"""References, the name of a service, or a service."""

_REFERENCE = re.compile(r"(?P<view>[^:@\s]+)(?:@(?P<version>[0-9]+))?:(?P<feature>[^:@\s]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """``text`` is the reference as answers name it; ``alias`` the name that full feature names start with."""

    text: str
    view: str
    feature: str
    alias: str
    version: int | None = None
    join_key_map: tuple[tuple[str, str], ...] = ()


def parse_reference(text: str) -> Reference:
    """Read one reference; FeatureNotFound says how one is written."""
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise FeatureNotFound(
            f"{text!r} names no feature; write view:feature, or view@version:feature for one version", feature=text
        )
    version = match["version"]
    return Reference(
        text=text,
        view=match["view"],
        feature=match["feature"],
        alias=match["view"] if version is None else f"{match['view']}@{version}",
        version=None if version is None else int(version),
    )


def references(manifest: Manifest, features: Features) -> list[Reference]:
    """Read what is asked for; FeatureNotFound where a service or a reference is none."""
    if isinstance(features, str):
        service = manifest.services.get(features)
        if service is None:
            hint = suggest(features, manifest.services)
            raise FeatureNotFound(
                f"project {manifest.project!r} has no feature service {features!r}: {hint} "
                "(a list of view:feature names single features)",
                service=features,
            )
        features = service
    if isinstance(features, ServiceNode):
        return [_of_service(ref) for ref in features.features]
    return [parse_reference(text) for text in dict.fromkeys(features)]


def _of_service(ref: FeatureRef) -> Reference:
    return Reference(
        text=f"{ref.alias}:{ref.feature}",
        view=ref.view,
        feature=ref.feature,
        alias=ref.alias,
        join_key_map=ref.join_key_map,
    )


def suggest(name: str, valid: Iterable[str]) -> str:
    """Write the end of a message about an unknown name: the close matches, else all that there are."""
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=3)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    return f"valid are {', '.join(names[:20])}{' …' if len(names) > 20 else ''}" if names else "there are none"


def requested_features(features: Sequence[str] | str | None, feature_refs: Sequence[str] | None) -> Sequence[str] | str:
    """Take ``features``, or what was given under their old name."""
    chosen = features if features is not None else feature_refs
    if chosen is None:
        raise FeatureNotFound('no features are named; give features=["view:feature", …] or a service\'s name')
    return chosen


def find_field(view: OnlineViewNode, ref: Reference, attached: Sequence[str] = ()) -> FieldNode:
    """Find the feature that a reference names, else FeatureNotFound; ``attached`` are other names that are valid."""
    for field in view.features:
        if field.name == ref.feature:
            return field
    hint = suggest(ref.feature, [*(field.name for field in view.features), *attached])
    raise FeatureNotFound(
        f"{ref.text!r}: view {ref.view!r} has no feature {ref.feature!r}: {hint}", feature=ref.feature
    )
