"""Azure Monitor as the listener of telemetry.py. Imported only where its connection string is set.

The exporter reads APPLICATIONINSIGHTS_CONNECTION_STRING and, for a component without local auth,
APPLICATIONINSIGHTS_AUTHENTICATION_STRING (`Authorization=AAD;ClientId=…`) by itself.
"""

import logging
import os

from azure.monitor.opentelemetry.exporter import (
    AzureMonitorLogExporter,
    AzureMonitorMetricExporter,
    AzureMonitorTraceExporter,
)
from opentelemetry import metrics, trace
from opentelemetry._logs import Logger, LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

_SEVERITIES = {
    logging.INFO: SeverityNumber.INFO,
    logging.WARNING: SeverityNumber.WARN,
    logging.ERROR: SeverityNumber.ERROR,
}


def listen(log: logging.Logger) -> None:
    """Send spans, metrics and this logger's lines to Azure Monitor, in the background."""
    # The site's name is the host's own role name: both then stand together on the application map.
    resource = Resource.create({SERVICE_NAME: os.environ.get("WEBSITE_SITE_NAME", log.name)})
    traces = TracerProvider(resource=resource)
    traces.add_span_processor(BatchSpanProcessor(AzureMonitorTraceExporter()))
    trace.set_tracer_provider(traces)

    reader = PeriodicExportingMetricReader(AzureMonitorMetricExporter())
    metrics.set_meter_provider(MeterProvider([reader], resource=resource))

    lines = LoggerProvider(resource=resource)
    lines.add_log_record_processor(BatchLogRecordProcessor(AzureMonitorLogExporter()))
    log.addHandler(Lines(lines.get_logger(log.name)))


class Lines(logging.Handler):
    """Hands log lines to OpenTelemetry: the text and nothing more, no stack trace and no local variable.

    The SDK's own handler is deprecated, and adds what it finds on a record.
    """

    def __init__(self, to: Logger) -> None:
        super().__init__(logging.INFO)
        self._to = to

    def emit(self, record: logging.LogRecord) -> None:
        """Send a line with the trace that it was written in."""
        self._to.emit(
            LogRecord(
                timestamp=int(record.created * 1e9),
                severity_number=_SEVERITIES.get(record.levelno, SeverityNumber.UNSPECIFIED),
                severity_text=record.levelname,
                body=record.getMessage(),
            )
        )
