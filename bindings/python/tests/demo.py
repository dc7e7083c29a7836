"""The start of the programs here: the demo license, four concurrent instances."""

import seatmeter


def init() -> None:
    seatmeter.initialize(
        handshake_code="DEMO-4-SEATS",
        seats=4,
        deployment_type=seatmeter.DeploymentType.SERVER,
        charge_way=seatmeter.ChargeWay.CONCURRENT_INSTANCE,
    )
