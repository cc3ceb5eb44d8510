"""The report: everything about one scan on one page that needs no other file and no network."""

from renalmap.report.html.contents import Names, ReportContents
from renalmap.report.html.document import report_page

__all__ = ["Names", "ReportContents", "report_page"]
