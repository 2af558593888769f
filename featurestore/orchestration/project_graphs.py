"""All DAGs of a project, as its settings have them."""

from __future__ import annotations

from featurestore.ir.manifest import Manifest
from featurestore.orchestration.graph import DagGraph, build_graphs
from featurestore.orchestration.upkeep_graph import upkeep_graphs
from featurestore.settings import Settings

__all__ = ["project_graphs"]


def project_graphs(manifest: Manifest, settings: Settings) -> tuple[DagGraph, ...]:
    """Give the DAGs of the views, by id, then the upkeep DAG."""
    options = settings.orchestration
    graphs = build_graphs(
        manifest,
        views_per_submit=options.views_per_submit,
        one_dag_per_schedule=options.one_dag_per_schedule,
    )
    upkeep = upkeep_graphs(manifest, schedule=settings.upkeep.schedule, views_per_submit=options.views_per_submit)
    return (*graphs, *upkeep)
