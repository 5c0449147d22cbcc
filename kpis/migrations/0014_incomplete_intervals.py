from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("kpis", "0013_clocks")]

    operations = [
        migrations.AlterField(
            model_name="intervalsummary",
            name="state",
            field=models.CharField(
                choices=[
                    ("provisional", "the interval is still open"),
                    ("final", "the interval has closed"),
                    ("incomplete", "records are missing from the figures, as the reason says"),
                ],
                max_length=12,
            ),
        ),
    ]
