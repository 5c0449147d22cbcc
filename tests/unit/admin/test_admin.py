"""The admin: every table can be browsed, none that the pipeline writes can be changed, subscribers can."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib import admin
from django.urls import reverse

from kpis.catalog.registry import KPIS
from kpis.models import (
    AppliedEntry,
    Batch,
    DueCompaction,
    DueReference,
    DueRollup,
    KPISet,
    LakeBinding,
    LakeFile,
    LiveCount,
    LiveFeed,
    LostFile,
    OperatorSignal,
    QuotaChange,
    Reference,
    ReferenceVersion,
    Region,
    Reject,
    ResultPruning,
    Run,
    ServiceTrafficVolume,
    StreamConsumer,
    StreamPosition,
    Subscriber,
    UserQuotaExceeded,
    UserTrafficVolume,
    Watermark,
)
from kpis.models.result_models import result_model
from tests.factories import (
    group,
    make_batch,
    make_batch_interval,
    make_region,
    make_reject,
    make_result,
    make_run,
    make_subscriber,
    make_summary,
    make_user,
    utc,
)

pytestmark = pytest.mark.django_db

HOUR = utc("2021-07-17T23:00:00")
MODELS = list(apps.get_app_config("kpis").get_models())
# Tables with one row a feed, or one at all.
ONE_ROW = (Watermark, LiveFeed, LakeBinding)
TRACEBACK = 'Traceback (most recent call last):\n  File "<stdin>", line 1\nOSError: disk & all'


def page(model, name: str, *args, **query) -> str:
    return reverse(f"admin:kpis_{model._meta.model_name}_{name}", args=args, query=query or None)


def rows(number: int) -> None:
    """So many rows in every table."""
    for count in range(number):
        start = HOUR + timedelta(hours=count)
        run = make_run(started_at=start, outcome="broken", traceback=TRACEBACK, batches=1)
        batch = make_batch(
            run, f"ipflow_data.{count}.csv", status="failed", reason="has <no> header", ingested_at=start
        )
        make_batch_interval(batch, start)
        make_reject(batch, 3, text="346001,=secret")
        for kpi in KPIS.values():
            make_result(kpi, start, 1, **group(kpi, 17 + count))
        make_subscriber(count)
        make_region(f"Region {count}")
        reference = Reference.objects.create(name=f"cell {count}", loaded_at=start)
        ReferenceVersion.objects.create(reference=reference, key=f"{count}", valid_from=start)
        DueCompaction.objects.create(feed="ipflow", interval_start_timestamp=start)
        make_summary(1, start)
        DueRollup.objects.create(feed="ipflow", interval=2, interval_start_timestamp=start)
        DueReference.objects.create(
            feed="ipflow", interval=2, interval_start_timestamp=start, reference="cells", reason="cells.csv"
        )
        StreamPosition.objects.create(feed="cdr", source="kafka", stream="calls", partition=f"{count}", position="7")
        StreamConsumer.objects.create(feed="cdr", topic="calls", host="here", process=count, reported_at=start)
        of_live = {"feed": "cdr", "length": 1, "start_timestamp": start, "revision": count}
        LiveCount.objects.create(groups={"county": {"Kern": 1}}, **of_live)
        folder = f"partials/ServiceTrafficVolume/{count}"
        LakeFile.objects.create(feed="ipflow", folder=folder, name="x", interval_start_timestamp=start, size=1)
        LostFile.objects.create(
            batch=batch, folder=folder, kpi=1, interval_start_timestamp=start, reason="lost", noted_at=start
        )
        AppliedEntry.objects.create(kind="kpi", key=f"{count}", name=f"Own{count}", applied_at=start)
        KPISet.objects.create(digest=f"{count}", kpis=f"{count}")
        ResultPruning.objects.create(interval=count + 1, before=start)
    LakeBinding.objects.create(database_id=uuid.uuid4(), lake_id=uuid.uuid4())
    QuotaChange.objects.update(since=HOUR)
    Watermark.objects.create(feed="ipflow", newest_interval_end=HOUR)
    LiveFeed.objects.create(feed="cdr", revision=1, committed_at=HOUR, delay=1)


@pytest.fixture
def filled():
    Region.objects.all().delete()
    rows(3)


def staff(*permissions, name: str = "staff"):
    """A member of the staff who may view every table, with these permissions besides."""
    viewing = [f"view_{model._meta.model_name}" for model in MODELS]
    return make_user(*viewing, *permissions, name=name, is_staff=True)


def test_every_table_is_registered():
    assert [model for model in MODELS if model not in admin.site._registry] == []


@pytest.mark.parametrize("model", MODELS)
def test_table_is_browsed_searched_and_opened(admin_client, filled, model):
    listed = admin_client.get(page(model, "changelist"))
    assert listed.status_code == 200
    assert 'id="searchbar"' in listed.content.decode()
    assert len(listed.context["cl"].result_list) == model.objects.count()
    for row in model.objects.all():
        opened = admin_client.get(page(model, "change", row.pk))
        assert opened.status_code == 200
        assert ('name="_save"' in opened.content.decode()) is (model is Subscriber)
        assert ("deletelink" in opened.content.decode()) is (model is Subscriber)
    assert admin_client.get(page(model, "changelist", q="x 9' %")).status_code == 200
    assert admin_client.get("/admin/kpis/").status_code == 200


@pytest.mark.sqlite_alone
@pytest.mark.parametrize("model", [model for model in MODELS if model is not Subscriber])
def test_table_is_read_only(admin_client, filled, model):
    row = model.objects.first()
    before = model.objects.values().get(pk=row.pk)
    assert admin_client.get(page(model, "add")).status_code == 403
    assert admin_client.post(page(model, "add"), {}).status_code == 403
    assert admin_client.post(page(model, "change", row.pk), {"_save": "Save"}).status_code == 403
    assert admin_client.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    admin_client.post(page(model, "changelist"), chosen)
    assert model.objects.values().get(pk=row.pk) == before
    assert model.objects.count() == (1 if model in ONE_ROW else 3)


@pytest.mark.parametrize("model", [model for model in MODELS if model not in ONE_ROW])
def test_more_rows_are_not_more_queries(admin_client, django_assert_num_queries, model):
    with_one, with_more = [], []
    for counts, number in ((with_one, 1), (with_more, 6)):
        for other in reversed(MODELS):
            other.objects.all().delete()
        rows(number)
        with django_assert_num_queries(20, exact=False) as context:
            admin_client.get(page(model, "changelist"))
        counts.append(len(context))
    assert with_more == with_one


FILTERS = {
    "batch": [{"feed__exact": "ipflow"}, {"status__exact": "failed"}, {"retry__exact": "0"}],
    "run": [{"outcome__exact": "broken"}],
    "reject": [{"batch__feed__exact": "ipflow"}, {"column": "msisdn"}],
    "batchinterval": [{"batch__feed__exact": "ipflow"}, {"batch__status__exact": "failed"}],
    "duerollup": [{"interval__exact": "2"}],
    "intervalsummary": [{"kpi__exact": "1"}, {"interval__exact": "1"}, {"state__exact": "final"}],
} | {result_model(kpi)._meta.model_name: [{"interval__exact": "1"}] for kpi in KPIS.values()}


@pytest.mark.parametrize("model", MODELS)
def test_filters_and_date_hierarchy(admin_client, filled, model):
    for query in FILTERS.get(model._meta.model_name, []):
        response = admin_client.get(page(model, "changelist", **query))
        assert response.status_code == 200, query
        assert response.context["cl"].has_active_filters, query
        assert len(response.context["cl"].result_list) == 3
    hierarchy = admin.site._registry[model].date_hierarchy
    for depth in ({"year": 2021}, {"year": 2021, "month": 7}, {"year": 2021, "month": 7, "day": 17}):
        if hierarchy:
            query = {f"{hierarchy}__{unit}": number for unit, number in depth.items()}
            response = admin_client.get(page(model, "changelist", **query))
            assert response.status_code == 200
            assert len(response.context["cl"].result_list) >= 1


@pytest.mark.parametrize(
    ("query", "found"), [("18", [18]), ("1", []), ("abc", []), ("99999999999999999999999", []), ("", [17, 18, 19])]
)
def test_results_are_searched_by_their_dimension(admin_client, filled, query, found):
    response = admin_client.get(page(ServiceTrafficVolume, "changelist", q=query))
    assert sorted(row.service_id for row in response.context["cl"].result_list) == found


@pytest.mark.parametrize("zone", ["UTC", "Europe/Madrid"])
def test_moments_and_days_are_in_utc_whatever_the_zone(admin_client, filled, settings, zone):
    settings.TIME_ZONE = zone
    day = {f"interval_start_timestamp__{unit}": number for unit, number in (("year", 2021), ("month", 7), ("day", 17))}
    listed = admin_client.get(page(ServiceTrafficVolume, "changelist", **day))
    (row,) = listed.context["cl"].result_list
    assert row.interval_start_timestamp == HOUR
    opened = admin_client.get(page(ServiceTrafficVolume, "change", row.pk))
    for response in (listed, opened):
        assert "July 17, 2021, 11 p.m." in response.content.decode()


def test_batch_shows_reason_rejects_and_run(admin_client, filled):
    batch = Batch.objects.first()
    listed = admin_client.get(page(Batch, "changelist")).content.decode()
    opened = admin_client.get(page(Batch, "change", batch.pk)).content.decode()
    for text in (listed, opened):
        assert "has &lt;no&gt; header" in text
        assert page(Run, "change", batch.run_id) in text
    assert "is empty" in opened
    assert "346001,=secret" in opened


def test_run_shows_its_traceback_and_leads_to_its_batches(admin_client, filled):
    run = Run.objects.first()
    opened = admin_client.get(page(Run, "change", run.pk)).content.decode()
    assert "<pre>Traceback (most recent call last):\n  File &quot;&lt;stdin&gt;&quot;, line 1\n" in opened
    assert "OSError: disk &amp; all</pre>" in opened
    address = page(Batch, "changelist", run__id__exact=run.pk)
    assert address in opened
    found = admin_client.get(address).context["cl"].result_list
    assert [batch.run_id for batch in found] == [run.pk]


@pytest.mark.parametrize(("permissions", "shown"), [((), False), (("view_personal",), True)])
def test_text_of_rejects_needs_the_permission(client, filled, permissions, shown):
    client.force_login(staff(*permissions))
    reject = Reject.objects.first()
    addresses = [
        page(Batch, "change", reject.batch_id),
        page(Reject, "change", reject.pk),
        page(Reject, "changelist"),
    ]
    pages = [client.get(address) for address in addresses]
    assert [response.status_code for response in pages] == [200, 200, 200]
    assert ["secret" in response.content.decode() for response in pages] == [shown, shown, False]
    searched = client.get(page(Reject, "changelist", q="secret"))
    assert len(searched.context["cl"].result_list) == (3 if shown else 0)
    asked = client.get(page(Reject, "changelist", text__contains="secret"))
    assert (asked.status_code == 200) is shown


PERSONAL = [UserTrafficVolume, UserQuotaExceeded, Subscriber, QuotaChange]


@pytest.mark.parametrize(("permissions", "shown"), [((), {"1"}), (("view_personal",), {"1", "2"})])
def test_versions_of_personal_references_are_held_back(client, permissions, shown):
    for key, is_personal in (("1", False), ("2", True)):
        reference = Reference.objects.create(name=key, loaded_at=HOUR, is_personal=is_personal)
        version = ReferenceVersion.objects.create(reference=reference, key=key, valid_from=HOUR)
    client.force_login(staff(*permissions))
    response = client.get(page(ReferenceVersion, "changelist"))
    assert {version.key for version in response.context["cl"].result_list} == shown
    assert client.get(page(ReferenceVersion, "change", version.pk)).status_code == (200 if permissions else 302)


def test_the_personal_tables_are_those_of_personal_kpis_and_of_subscribers():
    results = [result_model(kpi) for kpi in KPIS.values() if kpi.personal]
    assert [*results, Subscriber, QuotaChange] == PERSONAL


@pytest.mark.sqlite_alone
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("permissions", [(), ("view_personal",)])
def test_personal_tables_need_the_permission_besides_their_own(client, filled, model, permissions):
    client.force_login(staff(*permissions))
    allowed = bool(permissions) or model not in PERSONAL
    row = model.objects.first()
    for address in (page(model, "changelist"), page(model, "change", row.pk), page(model, "history", row.pk)):
        assert client.get(address).status_code == (200 if allowed else 403)
    assert (page(model, "changelist") in client.get("/admin/").content.decode()) is allowed


@pytest.mark.parametrize(("permissions", "shown"), [((), {1}), (("view_personal",), {1, 5, 6})])
def test_summaries_of_personal_kpis_are_held_back(client, permissions, shown):
    for kpi in (1, 5, 6):
        make_summary(kpi, HOUR)
    client.force_login(staff(*permissions))
    response = client.get(reverse("admin:kpis_intervalsummary_changelist"))
    assert {summary.kpi for summary in response.context["cl"].result_list} == shown


@pytest.mark.parametrize("query", ["VODAFONE", "vodafone", "Vodafone"])
def test_folded_dimension_is_searched_whatever_the_letter_case(admin_client, query):
    make_result(KPIS[7], HOUR, 1, operator="Vodafone")
    make_result(KPIS[7], HOUR, 2, operator="Orange")
    response = admin_client.get(page(OperatorSignal, "changelist", q=query))
    assert [row.operator for row in response.context["cl"].result_list] == ["Vodafone"]


DEVICE = "00000000-0000-4000-8000-000000000001"
FILLED_IN = {"id": DEVICE.upper(), "name": "Ann Lee", "email": "ann@example.com", "quota": "7000"}
NO_CHANGES = {"quota_changes-TOTAL_FORMS": "0", "quota_changes-INITIAL_FORMS": "0"}


def subscribers() -> list[tuple]:
    return list(Subscriber.objects.values_list("id", "name", "email", "quota"))


def quota_changes() -> list[tuple]:
    return list(QuotaChange.objects.order_by("id").values_list("subscriber", "email", "quota"))


def test_subscriber_is_added_and_the_quota_noted(admin_client):
    assert admin_client.post(page(Subscriber, "add"), FILLED_IN | NO_CHANGES).status_code == 302
    assert subscribers() == [(DEVICE, "Ann Lee", "ann@example.com", 7000)]
    assert quota_changes() == [(DEVICE, "ann@example.com", 7000)]


def test_subscriber_is_changed_and_the_new_quota_noted_with_the_old_one_kept(admin_client):
    make_subscriber(1, name="Ann", email="ann@example.com", quota=5000)
    changed = FILLED_IN | NO_CHANGES | {"id": "another"}
    assert admin_client.post(page(Subscriber, "change", DEVICE), changed).status_code == 302
    assert subscribers() == [(DEVICE, "Ann Lee", "ann@example.com", 7000)]
    assert quota_changes() == [(DEVICE, "ann@example.com", 5000), (DEVICE, "ann@example.com", 7000)]


def test_subscriber_that_is_saved_as_it_was_notes_nothing(admin_client):
    make_subscriber(1, name="Ann Lee", email="ann@example.com", quota=7000)
    assert admin_client.post(page(Subscriber, "change", DEVICE), FILLED_IN | NO_CHANGES).status_code == 302
    assert len(quota_changes()) == 1


def test_subscribers_are_removed_one_by_one_and_as_chosen_and_the_end_of_their_quotas_noted(admin_client):
    for number in (1, 2, 3):
        make_subscriber(number)
    before = quota_changes()
    assert admin_client.post(page(Subscriber, "delete", DEVICE), {"post": "yes"}).status_code == 302
    assert [row[0][-1] for row in subscribers()] == ["2", "3"]
    chosen = [row[0] for row in subscribers()]
    action = {"action": "delete_selected", "_selected_action": chosen, "post": "yes"}
    assert admin_client.post(page(Subscriber, "changelist"), action).status_code == 302
    assert subscribers() == []
    assert quota_changes() == before + [(device, email, None) for device, email, _ in before]
    for change in QuotaChange.objects.all():
        assert admin_client.get(page(QuotaChange, "change", change.pk)).status_code == 200


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("id", "42", "This is not a UUID."),
        ("id", "00000000-0000-4000-8000-000000000009", "Subscriber with this Id already exists."),
        ("name", "", "This field is required."),
        ("name", "a\x07b", "This holds a control character."),
        ("email", "nobody", "Enter a valid email address."),
        ("quota", "-1", "This is negative."),
        ("quota", "1.5", "This is not a whole number."),
        ("quota", str(2**63), "This is beyond 64 bits."),
    ],
)
def test_wrong_subscriber_is_reported(admin_client, field, value, reason):
    make_subscriber(9)
    response = admin_client.post(page(Subscriber, "add"), FILLED_IN | NO_CHANGES | {field: value})
    assert response.context["adminform"].form.errors == {field: [reason]}
    assert len(subscribers()) == 1


@pytest.mark.parametrize("also_personal", [False, True])
@pytest.mark.parametrize("name", ["add", "change", "delete"])
def test_editing_subscribers_needs_both_permissions(client, name, also_personal):
    make_subscriber(2)
    (device, *_), before = subscribers()[0], subscribers()
    permissions = [f"{name}_subscriber", *(["view_personal"] if also_personal else [])]
    client.force_login(staff(*permissions))
    address = page(Subscriber, name, *([] if name == "add" else [device]))
    response = client.post(address, FILLED_IN | NO_CHANGES | {"post": "yes"})
    assert response.status_code == (302 if also_personal else 403)
    assert (subscribers() != before) is also_personal
    other = page(Subscriber, "add") if name != "add" else page(Subscriber, "change", device)
    assert client.post(other, FILLED_IN | NO_CHANGES).status_code == 403


@pytest.mark.sqlite_alone
@pytest.mark.parametrize("model", MODELS)
def test_viewing_needs_the_tables_own_permission(client, filled, model):
    client.force_login(make_user(is_staff=True))
    assert client.get(page(model, "changelist")).status_code == 403
