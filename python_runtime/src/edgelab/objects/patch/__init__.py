"""Patches of API objects: RFC 6902, RFC 7386 and Kubernetes' strategic merge patch."""

from edgelab.objects.patch.errors import PatchError
from edgelab.objects.patch.json import apply as json_patch
from edgelab.objects.patch.merge import apply as merge_patch
from edgelab.objects.patch.merge import not_an_object
from edgelab.objects.patch.show import show
from edgelab.objects.patch.strategic import FieldPatch, PatchSchema
from edgelab.objects.patch.strategic import apply as strategic_merge_patch

__all__ = [
    "FieldPatch",
    "PatchError",
    "PatchSchema",
    "json_patch",
    "merge_patch",
    "not_an_object",
    "show",
    "strategic_merge_patch",
]
