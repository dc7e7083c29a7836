// The start of the programs here: the demo license, four concurrent instances.
'use strict';

const seatmeter = require('seatmeter');

exports.init = () =>
  seatmeter.initialize({
    handshakeCode: 'DEMO-4-SEATS',
    seats: 4,
    deploymentType: seatmeter.DeploymentType.SERVER,
    chargeWay: seatmeter.ChargeWay.CONCURRENT_INSTANCE,
  });
