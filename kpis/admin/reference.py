"""The admin of the reference tables: subscribers with their quotas, regions, and the references of catalog files."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest

from kpis.admin.base import InUTC, Personal, ReadOnly, TableAdmin
from kpis.catalog.columns import UUID, BadValue, ColumnType, Integer, Text
from kpis.models import QuotaChange, Reference, ReferenceVersion, Region, Subscriber
from kpis.query.access import may_view_personal
from kpis.reference.subscribers import put_subscribers, remove_subscribers


class CatalogField(forms.CharField):
    """A field of a subscriber, validated as in the files of ``load_subscribers``."""

    def __init__(self, *, kind: ColumnType, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = kind

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        try:
            return self.kind.parse(text)
        except BadValue as error:
            raise ValidationError(f"This {error}.") from None


class SubscriberForm(forms.ModelForm):
    """The form for a subscriber."""

    id = CatalogField(kind=UUID(), label="Device", help_text="UUID, as in the antenna's messages")
    name = CatalogField(kind=Text(longest=200))
    email = forms.EmailField(max_length=254)
    quota = CatalogField(kind=Integer(), help_text="bytes an hour; for the hours that are computed from now on")

    class Meta:
        model = Subscriber
        fields = ("id", "name", "email", "quota")


class QuotaChangeInline(Personal, ReadOnly, admin.TabularInline):
    """A subscriber's quotas, on the subscriber's page."""

    model = QuotaChange
    fields = ("since", "email", "quota")
    ordering = ("-since",)


@admin.register(Subscriber)
class SubscriberAdmin(Personal, InUTC):
    """The subscribers, each with its past and present quotas."""

    form = SubscriberForm
    list_display = ("id", "name", "email", "quota")
    search_fields = ("id__exact", "name", "email")
    search_help_text = "a device's UUID, or part of a name or of an e-mail address"
    inlines = (QuotaChangeInline,)

    def get_readonly_fields(self, request: HttpRequest, obj: Subscriber | None = None) -> tuple[str, ...]:
        # A subscriber's device cannot change: another device is another subscriber.
        return ("id",) if obj else ()

    def save_model(self, request: HttpRequest, obj: Subscriber, form: Any, change: Any) -> None:
        put_subscribers([obj])

    def delete_model(self, request: HttpRequest, obj: Subscriber) -> None:
        remove_subscribers([obj.pk])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Subscriber]) -> None:
        remove_subscribers(queryset.values_list("pk", flat=True))


@admin.register(QuotaChange)
class QuotaChangeAdmin(Personal, TableAdmin):
    """The quotas of subscribers, each with the time from which it applies."""

    list_display = ("since", "subscriber_id", "email", "quota")
    search_fields = ("subscriber__id__exact", "email")
    search_help_text = "a device's UUID, or part of an e-mail address"
    date_hierarchy = "since"


@admin.register(Region)
class RegionAdmin(TableAdmin):
    """The map's regions, as ``load_regions`` loaded them."""

    list_display = ("code", "name", "spellings")
    search_fields = ("code__exact", "name")
    search_help_text = "a code, or part of a name"
    fields = ("code", "name", "spellings", ("west", "east"), ("south", "north"))


@admin.register(Reference)
class ReferenceAdmin(TableAdmin):
    """The references of catalog files, as ``load_reference`` loaded them."""

    list_display = ("name", "file", "loaded_at", "is_personal")
    search_fields = ("name",)


@admin.register(ReferenceVersion)
class ReferenceVersionAdmin(TableAdmin):
    """The versions of references; those with personal data need the permission ``kpis.view_personal``."""

    list_display = ("key", "name", "reference", "valid_from", "valid_to", "latitude", "longitude", "attributes")
    list_select_related = ("reference",)
    list_filter = ("reference",)
    search_fields = ("key__exact", "name__startswith")
    search_help_text = "a key, or how a name begins"

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReferenceVersion]:
        versions = super().get_queryset(request)
        return versions if may_view_personal(request.user) else versions.exclude(reference__is_personal=True)
