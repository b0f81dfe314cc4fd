"""Consistency for services that run as many processes on many machines."""
