from __future__ import annotations

import pytest

from edgelab.edgesite.apiserver.usage.page import BILLION, Point, read

NOW = 1_700_000_100 * BILLION
MS = 1_000_000
PAGE = """\
# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="c",namespace="default",pod="web"} 12.5 1700000099000
container_cpu_usage_seconds_total{container="side",namespace="default",pod="web"} 1e-05
container_memory_working_set_bytes{container="c",namespace="default",pod="web"} 1.048576e+06 1700000099000
container_memory_working_set_bytes{container="side",namespace="default",pod="web"} 4096
container_start_time_seconds{container="c",namespace="default",pod="web"} 1.7000000505e+09
node_cpu_usage_seconds_total 1000.25 1700000099500
node_memory_working_set_bytes 2.147483648e+09 1700000099500
pod_cpu_usage_seconds_total{namespace="default",pod="web"} 12.5
resource_scrape_error 0
"""


def test_a_page_is_read() -> None:
    found = read(PAGE, NOW)
    assert found.node == Point(1700000099500 * MS, 1_000_250_000_000, 2 << 30)
    assert found.pods == {
        ("default", "web"): {
            "c": Point(1700000099000 * MS, 12_500_000_000, 1 << 20, 1_700_000_050_500_000_000),
            "side": Point(NOW, 10_000, 4096),
        }
    }


@pytest.mark.parametrize("gone", ["node_memory", "node_cpu"])
def test_a_node_of_which_something_is_missing_is_left_out(gone: str) -> None:
    text = "\n".join(line for line in PAGE.splitlines() if not line.startswith(gone))
    found = read(text, NOW)
    assert found.node is None
    assert found.pods


def test_a_pod_is_left_out_until_all_its_containers_are_told() -> None:
    text = "\n".join(line for line in PAGE.splitlines() if not line.endswith(" 4096"))
    assert read(text, NOW).pods == {}


@pytest.mark.parametrize("line", ["node_cpu_usage_seconds_total", "node_cpu_usage_seconds_total x 1"])
def test_what_is_no_page_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"line 1|could not convert"):
        read(line, NOW)


@pytest.mark.parametrize("sample", ["+Inf 1", "NaN 1", "-1 1", "1e300 1", "5 99999999999999999", "5 -1"])
def test_numbers_that_nothing_can_be_reckoned_with_are_refused(sample: str) -> None:
    with pytest.raises(ValueError, match="node_cpu_usage_seconds_total says"):
        read(f"node_cpu_usage_seconds_total {sample}", NOW)
