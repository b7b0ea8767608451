"""Panels as all our dashboards have them: one question each, with unit, thresholds and a description."""

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
    ThresholdsConfig,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.builders.timeseries import Panel as TimeSeries
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    DataSourceRef,
    GraphDrawStyle,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataTransformerConfig,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "sip-replay-monitor"
SELECTED = 'job=~"$job",instance=~"$instance"'
"""Label matchers of the monitors that the dashboard's variables select."""
GREEN, YELLOW, RED = "green", "yellow", "red"
AGO: dict[str, object] = {"unit": units.DateTimeFromNow}
"""Of a column of times in milliseconds."""
HALF, THIRD, QUARTER, SIXTH = 12, 8, 6, 4
"""Widths, in columns of the grid."""


def metric(name: str, *matchers: str) -> str:
    """A metric of ours, of the selected monitors."""
    return f"replay_monitor_{name}{{{','.join((SELECTED, *matchers))}}}"


def rate(name: str, *matchers: str, by: str = "") -> str:
    """How fast a counter of ours grows in a second, over all selected monitors."""
    return f"sum{_by(by)} (rate({metric(name, *matchers)}[$__rate_interval]))"


def increase(name: str, *matchers: str, by: str = "", window: str = "$__rate_interval") -> str:
    """By how much a counter of ours has grown, over all selected monitors."""
    return f"sum{_by(by)} (increase({metric(name, *matchers)}[{window}]))"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""


def quantile(share: float, histogram: str, window: str = "$__rate_interval") -> str:
    """A quantile of one of our histograms, over all selected monitors."""
    return f"histogram_quantile({share}, sum by (le) (rate({metric(histogram + '_bucket')}[{window}])))"


def board(title: str, uid: str, description: str, *variables: QueryVariable) -> Dashboard:
    """An empty dashboard with the variables that all of them have, and links to the others."""
    made = (
        Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .timezone("browser")
        .time("now-6h", "now")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .editable()
        .link(
            DashboardLink("Replay monitor")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .include_vars(True)
            .keep_time(True)
        )
        .with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(choice("job", "Job", "label_values(replay_monitor_build_info, job)"))
        .with_variable(
            choice("instance", "Monitor", 'label_values(replay_monitor_build_info{job=~"$job"}, instance)')
        )
    )
    for variable in variables:
        made.with_variable(variable)
    return made


def choice(name: str, label: str, query: str) -> QueryVariable:
    """A variable with any number of the values that ``query`` finds; at first with all of them."""
    return (
        QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.NATURAL_ASC)
        .multi(True)
        .include_all(True)
        .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def thresholds(*steps: tuple[float, str], base: str = GREEN) -> ThresholdsConfig:
    """``base``, and from each value on the colour that goes with it."""
    values = [Threshold(None, base), *(Threshold(value, colour) for value, colour in steps)]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(values)


def stat(title: str, description: str, expression: str, *, unit: str = "short") -> Stat:
    """One number, of now."""
    return (
        Stat()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .span(SIXTH)
        .height(4)
        .unit(unit)
        .color_mode(BigValueColorMode.BACKGROUND)
        .graph_mode(BigValueGraphMode.NONE)
        .with_target(Dataquery().ref_id("A").expr(expression).instant())
    )


def series(
    title: str,
    description: str,
    *queries: tuple[str, str],
    unit: str = "short",
    exemplars: bool = False,
    width: int = THIRD,
) -> TimeSeries:
    """Lines over time.

    :param queries: expression and legend of each.
    :param exemplars: whether points for single messages are shown, with their SPI, source and Call-ID.
    """
    panel = (
        TimeSeries()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .span(width)
        .height(8)
        .unit(unit)
        .min(0)
        .fill_opacity(10)
        .show_points(VisibilityMode.NEVER)
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common_builders.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    for letter, (expression, legend) in zip("ABCDEF", queries, strict=False):
        query = Dataquery().ref_id(letter).expr(expression).legend_format(legend).range()
        panel.with_target(query.exemplar(exemplars))
    return panel


def bars(panel: TimeSeries) -> TimeSeries:
    """Counts, one on top of the other, instead of lines."""
    return (
        panel.draw_style(GraphDrawStyle.BARS)
        .fill_opacity(70)
        .line_width(0)
        .decimals(0)
        .stacking(common_builders.StackingConfig().mode(StackingMode.NORMAL))
    )


def limits(panel: TimeSeries, *steps: tuple[float, str]) -> TimeSeries:
    """A panel with lines at the values from which on there is trouble."""
    style = common_builders.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
    return panel.thresholds(thresholds(*steps)).thresholds_style(style)


def table(
    title: str,
    description: str,
    *queries: str,
    names: dict[str, str],
    columns: dict[str, dict[str, object]] | None = None,
    width: int = THIRD,
) -> Table:
    """One row for each combination of labels, one column for each label and query.

    :param names: headings of what is shown, in this order, by label or ``Value #A`` …; all else is hidden.
    :param columns: properties (``unit``, ``links`` …) of columns, by heading.
    """
    panel = Table().title(title).description(description).datasource(SOURCE).span(width).height(8)
    for letter, expression in zip("ABCDEF", queries, strict=False):
        query = Dataquery().ref_id(letter).expr(expression).instant()
        panel.with_target(query.format(PromQueryFormat.TABLE))
    # With a single query the column is just "Value".
    headings = {
        name if len(queries) > 1 else name.removesuffix(" #A"): heading for name, heading in names.items()
    }
    order = {name: index for index, name in enumerate(headings)}
    for step, options in (
        ("merge", {}),
        ("filterFieldsByName", {"include": {"names": list(headings)}}),
        ("organize", {"indexByName": order, "renameByName": headings}),
    ):
        panel.with_transformation(DataTransformerConfig(step, options=options))
    for heading, properties in (columns or {}).items():
        values = [DynamicConfigValue(name, value) for name, value in properties.items()]
        panel.override_by_name(heading, values)
    return panel
