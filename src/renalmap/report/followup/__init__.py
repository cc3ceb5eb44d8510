"""The follow-up page: two scans of one patient side by side, on one page that needs no other file and no network."""

from renalmap.report.followup.contents import FollowUpContents, FollowUpScan
from renalmap.report.followup.page import follow_up_page

__all__ = ["FollowUpContents", "FollowUpScan", "follow_up_page"]
