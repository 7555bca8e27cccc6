"""What administrators and members do to the workspace itself, room by room."""

import strawberry

from crm_es.workspaces.export_mutations import ExportMutations
from crm_es.workspaces.key_mutations import KeyMutations
from crm_es.workspaces.member_mutations import MemberMutations
from crm_es.workspaces.reassign_mutations import ReassignMutations
from crm_es.workspaces.revert_mutations import RevertMutations
from crm_es.workspaces.team_mutations import TeamMutations
from crm_es.workspaces.view_mutations import ViewMutations


@strawberry.type
class WorkspaceMutations(
    MemberMutations, TeamMutations, KeyMutations, ReassignMutations, RevertMutations, ViewMutations, ExportMutations
): ...
