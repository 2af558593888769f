"""From the manifest to Airflow DAGs; only ``airflow`` imports Airflow."""
