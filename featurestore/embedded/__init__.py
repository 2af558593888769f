"""The local tools a project runs on: Java, Delta jars, spark-submit, redis-server, Airflow; found, started, stopped."""
