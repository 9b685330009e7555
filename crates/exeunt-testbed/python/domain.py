"""Makes the files of an Active Directory domain in the folder that the first argument names.

The tool of the same purpose sets access lists on the shares of the controller, which only root may;
here nobody uses shares.
"""

import logging
import os
import sys

from samba.auth import system_session
from samba.dsdb import DS_DOMAIN_FUNCTION_2008_R2
from samba.param import LoadParm
from samba.provision import provision

folder, password = sys.argv[1:]
settings = os.path.join(folder, "etc", "smb.conf")
os.makedirs(os.path.dirname(settings), exist_ok=True)
with open(settings, "w", encoding="ascii"):
    pass
parameters = LoadParm()
parameters.load(settings)
parameters.set("interfaces", "lo")
parameters.set("bind interfaces only", "yes")
provision(
    logging.getLogger("provision"),
    system_session(),
    targetdir=folder,
    realm="AD.EXAMPLE.TEST",
    domain="EXAMPLE",
    serverrole="active directory domain controller",
    dns_backend="NONE",
    adminpass=password,
    hostname="dc1",
    hostip="127.0.0.1",
    lp=parameters,
    use_ntvfs=False,
    skip_sysvolacl=True,
    dom_for_fun_level=DS_DOMAIN_FUNCTION_2008_R2,
)
