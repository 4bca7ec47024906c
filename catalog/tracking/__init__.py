"""Copies of ended runs for a tracking server (MLflow), where the lab's operator names one."""
